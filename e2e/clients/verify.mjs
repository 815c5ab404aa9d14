// verify.mjs SECRET reads requests of webhooks, one JSON {headers, body} a line, and says of each what npm's
// standardwebhooks (with a secret) or cloudevents (with "-") makes of it.
import readline from 'node:readline'
import { Webhook } from 'standardwebhooks'
import { HTTP } from 'cloudevents'

const secret = process.argv[2]
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { headers, body } = JSON.parse(line)
  try {
    if (secret !== '-') {
      new Webhook(secret).verify(body, headers)
      console.log('right')
      continue
    }
    const events = [HTTP.toEvent({ headers, body })].flat()
    for (const e of events) {
      e.validate()
      console.log(JSON.stringify({ id: e.id, type: e.type, source: e.source, time: e.time, data: e.data }))
    }
  } catch (err) {
    console.log(`wrong: ${err.message}`)
  }
}
