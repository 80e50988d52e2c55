/** An upstream that is faster than whatever asks it: nginx with the plain files of a registry. It counts no bytes, only requests. */
import { ask } from '../../test/e2e/support/http-client.ts'
import type { Item } from '../content.ts'
import { nginxStatic } from '../programs/nginx.ts'
import { startProgram } from '../programs/program.ts'
import type { Scope } from '../steps.ts'

export type FileUpstream = {
  readonly url: string
  readonly pid: number
  /** So far, without these questions themselves. */
  requests(): Promise<number>
}

/** @param directory its own */
export async function startFileUpstream(scope: Scope, directory: string, items: readonly Item[]): Promise<FileUpstream> {
  const { url, pid } = await startProgram(scope, nginxStatic, { directory, upstreamUrl: '', items })
  let asked = 0
  return {
    url,
    pid,
    requests: async () => {
      const report = (await ask(`${url}/status`)).bytes.toString()
      asked++
      return Number(/^ *\d+ \d+ (\d+)/m.exec(report)?.[1]) - asked
    },
  }
}
