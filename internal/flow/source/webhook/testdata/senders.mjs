// Deliveries as the libraries of those who send them sign them, as JSON: scheme, secret, headers and body.
import { randomUUID } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { sign } from '@octokit/webhooks-methods'
import Stripe from 'stripe'

const bodies = ['{"n":1}', '{"text":"ü 漢 \\u0000 {body}"}\n']
const sent = []
for (const body of bodies) {
  const standard = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
  const id = randomUUID()
  const now = new Date()
  sent.push({
    scheme: 'standard',
    secret: standard,
    body,
    headers: { 'webhook-id': id, 'webhook-timestamp': String(Math.floor(now / 1000)), 'webhook-signature': new Webhook(standard).sign(id, now, body) }
  })
  const github = 'a secret: of "mine"'
  sent.push({ scheme: 'github', secret: github, body, headers: { 'X-Hub-Signature-256': await sign(github, body) } })
  const secret = 'whsec_test_secret'
  const header = new Stripe('sk_test_none').webhooks.generateTestHeaderString({ payload: body, secret })
  sent.push({ scheme: 'stripe', secret, body, headers: { 'Stripe-Signature': header } })
}
console.log(JSON.stringify(sent))
