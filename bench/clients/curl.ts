/** One large download by curl, which throws the bytes away: half as busy as the fastest server that it is used on. */
import { commandPath } from '../../test/e2e/support/requirements.ts'
import { endedChildrenCpuSeconds } from '../proc.ts'
import { complete, type Scope } from '../steps.ts'

export type Download = {
  readonly bytesPerSecond: number /** Of the time it took: near 1, curl itself is what was measured. */
  readonly clientBusy: number
}

export async function download(scope: Scope, url: string, sizeBytes: number): Promise<Download> {
  const before = endedChildrenCpuSeconds()
  const figures = await complete(scope, commandPath('curl'), [
    ...['--silent', '--show-error', '--fail', '--noproxy', '*', '--output', '/dev/null'],
    ...['--write-out', '%{size_download} %{time_total}', url],
  ])
  const [size = 0, seconds = 0] = figures.split(' ').map(Number)
  if (size !== sizeBytes) throw new Error(`${url}: ${size} bytes came, not ${sizeBytes}`)
  return { bytesPerSecond: size / seconds, clientBusy: (endedChildrenCpuSeconds() - before) / seconds }
}
