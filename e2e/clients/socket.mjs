// socket.mjs LIBRARY NAME=URL… follows topics as follow.mjs does, over the WebSocket of the library, or
// of Node.js itself ("native"). It hangs up after every 20 events, and comes back with the last id; so it
// does where a connection breaks off, of a topic whose name begins with "cut".
import jsonpatch from 'fast-json-patch'

const [library, ...topics] = process.argv.slice(2)
const WebSocket = library === 'native' ? globalThis.WebSocket : (await import(library)).default

function fail(name, message) {
  console.error(`${library} ${name}: ${message}`)
  process.exit(1)
}

function follow(name, url) {
  let doc, id

  const connect = () => {
    const socket = new WebSocket(id ? `${url}?lastEventId=${id}` : url)
    let seen = 0
    socket.addEventListener('message', ({ data }) => {
      if (typeof data !== 'string') fail(name, 'a binary message')
      const event = JSON.parse(data)
      switch (event.type) {
        case 'snapshot':
          doc = event.data
          break
        case 'patch':
          try {
            doc = jsonpatch.applyPatch(doc, event.data, true).newDocument
          } catch (err) {
            fail(name, `the patch ${event.id} does not fit: ${err.message}: ${data}`)
          }
          break
        default:
          fail(name, `a message of the type ${event.type}: ${data}`)
      }
      id = event.id
      console.log(JSON.stringify({ name, type: event.type, id, doc }))
      if (doc.last || ++seen === 20) socket.close(1000, 'enough')
    })
    socket.addEventListener('close', ({ code, reason, wasClean }) => {
      const cut = name.startsWith('cut') && code === 1006
      if (!cut && (code !== 1000 || !wasClean)) fail(name, `closed with ${code} ${reason}`)
      if (!doc?.last) setTimeout(connect, cut ? 20 : 0)
    })
    socket.addEventListener('error', (event) => {
      if (!name.startsWith('cut')) fail(name, event.message ?? 'an error')
    })
  }
  connect()
}

for (const topic of topics) {
  const at = topic.indexOf('=')
  follow(topic.slice(0, at), topic.slice(at + 1))
}
