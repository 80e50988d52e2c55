/** Loading images by the admin API: every reference is checked first, then all are loaded in the background. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type ImageLoadOptions, type ImageLoads, LoadsFull } from '../../cache/image-loads.ts'
import { OciError } from '../../oci/error.ts'
import { formatImageName, type ImageName } from '../../oci/image-name.ts'
import type { Platform } from '../../oci/manifest.ts'
import { formatPlatform, parsePlatform } from '../../oci/platform.ts'
import { type AdminAnswer, textOfLines } from './answer.ts'
import { readObject, refuseBody } from './body.ts'
import { badRequest, mistake, type Parameters } from './parameters.ts'
import type { AdminParts } from './parts.ts'
import { readImageName } from './reference-text.ts'

const MOST_BODY_BYTES = 1024 * 1024
const RETRY_AFTER_S = '60'
/** More than any index lists in earnest; each image that waits is remembered with all of them. */
const MOST_PLATFORMS = 64
const KEYS = ['images', 'platforms', 'referrers']

export async function prefetch(
  parameters: Parameters,
  { config, loads, names }: AdminParts,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<AdminAnswer> {
  const refs = parameters.all('ref')
  if (refs.length > 0) await refuseBody(req, res, 'none beside ref: images go in the one or in the other')
  const wish = refs.length > 0 ? { images: refs, options: {} } : wishOf(await readObject(req, res, MOST_BODY_BYTES))
  const at = (i: number) => (refs.length > 0 ? 'ref' : `images[${i}]`)
  const images = wish.images.map((text, i) => readImageName(text, names, at(i)))
  if (config.airGapped) throw new OciError(409, 'DENIED', 'the server is air-gapped: it loads nothing')
  const joined = new Set(queue(images, wish.options, loads).map(formatImageName))
  const accepted = images.map(formatImageName)
  const more = (reference: string) => (joined.has(reference) ? ' (it is queued already)' : '')
  return {
    status: 202,
    json: { accepted, joined: [...joined] },
    text: () => textOfLines(accepted.map((reference) => `accepted: ${reference}${more(reference)}`)),
  }
}

/** @returns those that were queued already. @throws OciError 429 */
function queue(images: readonly ImageName[], options: ImageLoadOptions, loads: ImageLoads): readonly ImageName[] {
  try {
    return loads.load(images, options)
  } catch (error) {
    if (!(error instanceof LoadsFull)) throw error
    throw new OciError(429, 'TOOMANYREQUESTS', error.message, { 'retry-after': RETRY_AFTER_S }, { cause: error })
  }
}

type Wish = { readonly images: readonly string[]; readonly options: ImageLoadOptions }

function wishOf(body: Readonly<Record<string, unknown>>): Wish {
  const { images, platforms, referrers } = body
  const unknown = Object.keys(body).find((key) => !KEYS.includes(key))
  if (unknown !== undefined) throw badRequest(`${JSON.stringify(unknown.slice(0, 60))}: found an unknown key, want ${KEYS.join(', ')}`)
  if (!isTexts(images) || images.length === 0) throw badRequest('images: want a list of references, with one at least')
  if (referrers !== undefined && typeof referrers !== 'boolean') throw badRequest('referrers: want true or false')
  return {
    images,
    options: {
      ...(platforms === undefined ? {} : { platforms: platformsOf(platforms) }),
      ...(referrers === undefined ? {} : { referrers }),
    },
  }
}

function platformsOf(platforms: unknown): readonly Platform[] | 'all' {
  if (!isTexts(platforms) || platforms.length === 0) throw badRequest('platforms: want a list such as ["linux/amd64"], or ["all"]')
  if (platforms.includes('all')) return 'all'
  const byName = new Map<string, Platform>()
  for (const [i, text] of platforms.entries()) {
    const platform = parsePlatform(text)
    if (platform === undefined) throw mistake(`platforms[${i}]`, text, 'a platform such as linux/amd64 or linux/arm/v7, or all')
    byName.set(formatPlatform(platform), platform)
    if (byName.size > MOST_PLATFORMS) throw badRequest(`platforms: found more than ${MOST_PLATFORMS}, want no more, or ["all"]`)
  }
  return [...byName.values()]
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}
