// follow.mjs LIBRARY NAME=URL… follows topics with an EventSource that others wrote, applies each
// patch with fast-json-patch (merge patches with json-merge-patch, changes of items by the words of
// docs/protocol.md), and prints a line of JSON for each event: who follows, the type and id
// of the event, and the document after it. It ends when each follower has a document whose member
// "last" is true. A message on stderr and exit code 1: a patch did not fit, or the library gave up.
import jsonpatch from 'fast-json-patch'
import mergepatch from 'json-merge-patch'

const [library, ...topics] = process.argv.slice(2)
const module = await import(library)
const EventSource = module.EventSource ?? module.default
const CLOSED = 2

function fail(name, message) {
  console.error(`${library} ${name}: ${message}`)
  process.exit(1)
}

// changed applies changes of items, as someone would who keeps a table.
function changed(doc, { created, updated, deleted, keys = {}, patch = [] }) {
  doc = jsonpatch.applyPatch(doc, patch, true).newDocument
  for (const [array, key] of Object.entries(keys)) {
    const list = jsonpatch.getValueByPointer(doc, array)
    const table = new Map(list.map((item) => [item[key], item]))
    for (const e of deleted) if (e.array === array && !table.delete(e.key)) throw new Error(`no item ${e.key}`)
    for (const e of updated) {
      if (e.array !== array) continue
      if (!table.has(e.key)) throw new Error(`no item ${e.key}`)
      table.set(e.key, e.value)
    }
    for (const e of created) if (e.array === array) table.set(e.key, e.value)
    list.splice(0, list.length, ...table.values())
  }
  return doc
}

// Libraries unref their reconnection timers: without this the process would end while one waits.
const alive = setInterval(() => {}, 1000)
let left = topics.length

for (const topic of topics) {
  const at = topic.indexOf('=')
  const name = topic.slice(0, at)
  const source = new EventSource(topic.slice(at + 1))
  let doc

  const took = (event) => {
    console.log(JSON.stringify({ name, type: event.type, id: event.lastEventId, doc }))
    if (doc?.last) {
      source.close()
      if (--left === 0) clearInterval(alive)
    }
  }
  source.addEventListener('snapshot', (event) => {
    doc = JSON.parse(event.data)
    took(event)
  })
  source.addEventListener('patch', (event) => {
    try {
      doc = jsonpatch.applyPatch(doc, JSON.parse(event.data), true).newDocument
    } catch (err) {
      fail(name, `the patch ${event.lastEventId} does not fit: ${err.message}: ${event.data}`)
    }
    took(event)
  })
  source.addEventListener('merge-patch', (event) => {
    doc = mergepatch.apply(doc, JSON.parse(event.data))
    took(event)
  })
  source.addEventListener('changes', (event) => {
    try {
      doc = changed(doc, JSON.parse(event.data))
    } catch (err) {
      fail(name, `the changes ${event.lastEventId} do not fit: ${err.message}: ${event.data}`)
    }
    took(event)
  })
  source.addEventListener('message', (event) => fail(name, `an event without a type: ${event.data}`))
  source.addEventListener('error', () => {
    if (source.readyState === CLOSED) fail(name, 'the library gave up')
  })
}
