// follow.mjs LIBRARY NAME=URL… follows topics with an EventSource that others wrote, applies each
// patch with fast-json-patch, and prints a line of JSON for each event: who follows, the type and id
// of the event, and the document after it. It ends when each follower has a document whose member
// "last" is true. A message on stderr and exit code 1: a patch did not fit, or the library gave up.
import jsonpatch from 'fast-json-patch'

const [library, ...topics] = process.argv.slice(2)
const module = await import(library)
const EventSource = module.EventSource ?? module.default
const CLOSED = 2

function fail(name, message) {
  console.error(`${library} ${name}: ${message}`)
  process.exit(1)
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
  source.addEventListener('message', (event) => fail(name, `an event without a type: ${event.data}`))
  source.addEventListener('error', () => {
    if (source.readyState === CLOSED) fail(name, 'the library gave up')
  })
}
