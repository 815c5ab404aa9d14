// Applies patches with fast-json-patch. It reads lines of {"from":…,"patch":…,"to":…}.
import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'

const { applyPatch } = createRequire(import.meta.url)('fast-json-patch')

// A text in which equal values, and only they, are equal. Entries keep "__proto__" an ordinary name.
const normal = v => JSON.stringify(v, (_, x) =>
  x && typeof x === 'object' && !Array.isArray(x) ? [Object.entries(x).sort(([a], [b]) => (a < b ? -1 : 1)).flat()] : x)

let right = 0
let wrong = 0
for await (const line of createInterface({ input: process.stdin })) {
  const { from, patch, to } = JSON.parse(line)
  let problem
  try {
    const got = applyPatch(from, patch, true, false).newDocument
    if (normal(got) !== normal(to)) problem = `it gets to ${JSON.stringify(got)}`
  } catch (e) {
    problem = e.message
  }
  if (!problem) right++
  else if (++wrong <= 10) console.log(problem, line)
}
console.log(`fast-json-patch: ${right} right, ${wrong} wrong`)
process.exit(wrong ? 1 : 0)
