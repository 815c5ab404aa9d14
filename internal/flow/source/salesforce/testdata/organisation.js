// A login server and an organisation of Salesforce in one, of Faye, a Bayeux server that has nothing to do with
// Freshet. What Faye does not have is Salesforce's replay extension, which is added here: events are kept in a
// file, and a subscription gets those after the id that it names.
//
// organisation.js PORT FILE PUBLIC-KEY-FILE: POST /publish stores an event, whose data is the body with a
// replay id, and answers with it; POST /stored answers with all; POST /revoke makes all
// tokens invalid.
'use strict'

const crypto = require('crypto')
const fs = require('fs')
const http = require('http')
const faye = require('faye')

const [port, file, keyFile] = process.argv.slice(2)
const key = fs.readFileSync(keyFile)
const channel = '/event/News__e'
const events = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split('\n').filter(Boolean).map(JSON.parse) : []
const tokens = new Set()
let asked = {}

const bayeux = new faye.NodeAdapter({ mount: '/cometd/61.0', timeout: 5 })
const engine = bayeux._server._engine

bayeux.addExtension({
  incoming (message, request, callback) {
    const token = request && (request.headers.authorization || '').replace('Bearer ', '')
    if (!tokens.has(token)) message.error = '401::Authentication invalid'
    if (message.channel === '/meta/subscribe' && message.ext && message.ext.replay) {
      const id = message.ext.replay[message.subscription]
      if (id > events.length) message.error = '400::The replayId {' + id + '} you provided was invalid'
      asked[message.clientId] = id
    }
    callback(message)
  }
})

bayeux.on('subscribe', (client, to) => {
  const id = asked[client]
  delete asked[client]
  const missed = id === -1 || to !== channel ? [] : events.slice(Math.max(id, 0))
  if (missed.length === 0) return
  engine._engine._messages.set(client, missed.map(data => ({ channel, data })))
})

const server = http.createServer((request, response) => {
  const chunks = []
  request.on('data', chunk => chunks.push(chunk))
  request.on('end', () => answer(request, Buffer.concat(chunks).toString(), response))
})

function answer (request, body, response) {
  const json = (status, value) => {
    response.writeHead(status, { 'Content-Type': 'application/json' })
    response.end(JSON.stringify(value))
  }
  switch (request.url) {
    case '/publish': {
      const data = { event: { replayId: events.length + 1 }, payload: JSON.parse(body) }
      fs.appendFileSync(file, JSON.stringify(data) + '\n')
      events.push(data)
      engine.publish({ channel, data })
      return json(200, data)
    }
    case '/stored':
      return json(200, events)
    case '/revoke':
      tokens.clear()
      return json(200, {})
    case '/services/oauth2/token': {
      const form = new URLSearchParams(body)
      const [head, claims, signature] = (form.get('assertion') || '').split('.')
      const good = signature && crypto.verify('sha256', Buffer.from(head + '.' + claims), key, Buffer.from(signature, 'base64url'))
      const said = good && JSON.parse(Buffer.from(claims, 'base64url'))
      if (!good || said.iss !== 'the-app' || said.exp < Date.now() / 1000 || form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer') {
        return json(400, { error: 'invalid_grant', error_description: 'invalid assertion' })
      }
      const token = crypto.randomUUID()
      tokens.add(token)
      return json(200, { access_token: token, token_type: 'Bearer', scope: 'api' })
    }
  }
  json(404, {})
}

bayeux.attach(server)
server.listen(Number(port), '127.0.0.1')
