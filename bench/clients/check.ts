/** Is it the right thing? Asked before anything is timed: a fast wrong answer would win. */
import { digestOfBody, open } from '../../test/e2e/support/http-client.ts'
import { urlOf, type Wanted } from '../content.ts'

/** Throws unless the server answers with exactly these bytes and says so in its headers. */
export async function checkAnswer(serverUrl: string, item: Wanted): Promise<void> {
  const url = urlOf(serverUrl, item)
  const response = await open(url, { headers: { accept: item.mediaType } })
  const digest = await digestOfBody(response)
  const found = {
    status: response.statusCode,
    length: response.headers['content-length'],
    header: response.headers['docker-content-digest'] ?? item.digest,
    digest,
  }
  const wanted = { status: 200, length: String(item.sizeBytes), header: item.digest, digest: item.digest }
  if (JSON.stringify(found) !== JSON.stringify(wanted))
    throw new Error(`${url}: found ${JSON.stringify(found)}, wanted ${JSON.stringify(wanted)}`)
}
