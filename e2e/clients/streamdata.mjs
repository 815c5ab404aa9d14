// streamdata.mjs FOLLOWERS… follows URLs with the client of Streamdata.io as it is published. Each argument is JSON:
// {name, server, url, token, key, headers}; server stands before the URL, and with a key requests are signed. It
// prints a line of JSON for each event: who follows, the type, and the document after it, or the error. It ends when
// each follower has a document whose member "last" is true, or, of those with "until", has printed so many lines.
// A message on stderr and exit code 1: an event was not JSON, or a patch did not fit.
import { createRequire } from 'node:module'
import jsonpatch from 'fast-json-patch'

const require = createRequire(import.meta.url)
const streamdataio = require('streamdataio-js-sdk/dist/bundles/streamdataio-node.js')
const auth = require('streamdataio-js-sdk-auth')

console.info = console.error = () => {} // the client says there what it gets
const followers = process.argv.slice(2).map((text) => JSON.parse(text))
let left = followers.length

function fail(name, message) {
  process.stderr.write(`${name}: ${message}\n`)
  process.exit(1)
}

for (const { name, server, url, token, key, headers, until } of followers) {
  const strategy = key ? auth.newSignatureStrategy(token, key) : undefined
  const source = streamdataio.createEventSource(url, token, headers, strategy)
  source.server = { getFullUrl: (target) => server + target }
  let doc
  let lines = 0

  const took = (type, more) => {
    console.log(JSON.stringify({ name, type, ...more }))
    if (doc?.last || ++lines === until) {
      source.close()
      if (--left === 0) process.exit(0)
    }
  }
  const object = (value) => typeof value === 'object' || fail(name, `no JSON: ${value}`)
  source
    .onOpen(() => took('open', {}))
    .onData((data) => {
      object(data)
      doc = data
      took('data', { doc })
    })
    .onPatch((patch) => {
      object(patch)
      try {
        doc = jsonpatch.applyPatch(doc, patch, true).newDocument
      } catch (err) {
        fail(name, `the patch does not fit: ${err.message}: ${JSON.stringify(patch)}`)
      }
      took('patch', { doc })
    })
    .onMonitor((data) => fail(name, `a monitor event: ${data}`))
    .onError((error) => took('error', { error: { type: error.type, message: error.message, status: error.status, source: error.source } }))
  source.open()
}
