/** `/cmd/explain`: what a client that asked for a reference would get, and why. */
import type { Explanation } from '../../cache/explanation.ts'
import type { Revalidate } from '../../config/config.ts'
import { formatLocalTime } from '../../store/record.ts'
import { whyRefused } from '../name-rules.ts'
import { type AdminAnswer, textOfLines } from './answer.ts'
import { healthText } from './health-text.ts'
import { mistake, type Parameters } from './parameters.ts'
import type { AdminParts } from './parts.ts'
import { readImageName } from './reference-text.ts'
import { type RegistryAccess, registryAccess } from './registry-access.ts'

export async function explain(parameters: Parameters, { cache, config, names }: AdminParts): Promise<AdminAnswer> {
  const ref = parameters.text('ref')
  if (ref === undefined) throw mistake('ref', undefined, 'a reference such as docker.io/library/alpine:3')
  const { reference } = readImageName(ref, names, 'ref')
  const why = whyRefused(config.nameRules, reference.registry, reference.repository)
  const found = await cache.explainer.explain(reference)
  const explanation: Explanation = why === undefined ? found : { ...found, answer: 'refused', from: 'nowhere', why: [why] }
  const access = registryAccess(explanation.registry, config)
  return { json: { ...explanation, access }, text: () => explanationText(explanation, access) }
}

const ANSWERS: Readonly<Record<Explanation['answer'], string>> = {
  served: 'yes, without asking anybody',
  asks: 'if its registry does not object',
  refused: 'no',
}

/** One line for each fact. */
export function explanationText(explanation: Explanation, access: RegistryAccess): string {
  const { reference, from, why, policy, isComplete } = explanation
  const lines = [
    reference,
    `would be served: ${answerText(explanation)}`,
    `from: ${from}`,
    ...why.map((sentence) => `why: ${sentence}`),
    ...(isComplete === undefined ? [] : [`complete: ${isComplete ? 'yes' : completePart(explanation)}`]),
    ...cachedLines(explanation),
    ...(policy === undefined ? [] : [`check policy: ${policyText(policy)}`]),
    `registry: ${explanation.registry} at ${access.url}, ${stateOf(explanation)}`,
    `credentials: ${access.credentials}`,
  ]
  return textOfLines(lines)
}

/** Of the manifest; a client that gets it asks for the rest next. */
function answerText({ answer, from, isComplete, cached }: Explanation): string {
  if (answer === 'asks' && from === 'upstream') return 'if its registry has it'
  const lacksBlobs = isComplete === false && !(cached?.platforms ?? []).some(({ state }) => state === 'complete')
  return answer === 'served' && lacksBlobs ? `${ANSWERS[answer]}; but not all that belongs to it is here` : ANSWERS[answer]
}

/** An index may be there for some platforms, which is all that somebody wanted. */
function completePart({ cached }: Explanation): string {
  const platforms = (cached?.platforms ?? []).filter(({ state }) => state === 'complete').map(({ platform }) => platform || '-')
  return platforms.length === 0 ? 'no' : `for ${platforms.join(', ')}`
}

/** Of a tag that is cached. */
function policyText(policy: Revalidate): string {
  if (policy === 'never') return 'never: it is served as it was pulled'
  return policy === 'always' ? 'always: each time that it is asked for' : `when the last check is ${policy / 1000} s old`
}

/** The pull that brought a tag has confirmed it, and was no check; what a digest names needs none. */
function checkLines({ policy, cached }: Explanation): string[] {
  const times = cached?.times
  if (policy === undefined || times === undefined) return []
  const isChecked = times.checkedMs > times.createdMs
  return [
    `last check: ${isChecked ? formatLocalTime(times.checkedMs) : `none; the pull of ${formatLocalTime(times.createdMs)} confirmed it`}`,
  ]
}

function cachedLines(explanation: Explanation): string[] {
  const { cached } = explanation
  if (cached === undefined) return []
  const { digest, kind, mediaType, sizeBytes, suppliedBy, times, blobs, platforms } = cached
  return [
    `digest: ${digest} (${kind}, ${mediaType}, ${sizeBytes} bytes)`,
    `supplied by: ${suppliedBy}`,
    ...(times === undefined ? [] : [`created: ${formatLocalTime(times.createdMs)}`, `pulled: ${formatLocalTime(times.pulledMs)}`]),
    ...checkLines(explanation),
    ...platforms.map((listed) => `platform: ${listed.platform || '-'} ${listed.digest} ${listed.state}`),
    ...blobs.map((blob) => `blob: ${blob.digest} ${blob.sizeBytes} ${blob.state}`),
  ]
}

function stateOf({ upstream }: Explanation): string {
  return 'closed' in upstream ? 'which nobody may ask' : healthText(upstream)
}
