/** How a registry is doing, as the admin API says it in text. */
import { formatLocalTime } from '../../store/record.ts'
import type { UpstreamHealth } from '../../upstream/upstream.ts'

export function healthText({ state, retryInMs, why, refused }: UpstreamHealth): string {
  const retry = retryInMs === undefined ? '' : `, asked again in ${Math.ceil(retryInMs / 1000)} s`
  const reason = why === undefined ? '' : `: ${why}`
  const refusal =
    refused === undefined ? '' : `; refused a request at ${formatLocalTime(refused.at)}, and granted none since: ${refused.why}`
  return `${state}${retry}${reason}${refusal}`
}
