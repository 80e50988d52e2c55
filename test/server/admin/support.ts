/** What the tests of the admin API stand on: a running service with a fake registry behind it, something that prunes and something that loads. */
import type { TestContext } from 'node:test'
import type { ImageLoadOptions, ImageLoads } from '../../../src/cache/image-loads.ts'
import type { PruneReport, Prunes } from '../../../src/cache/prune-report.ts'
import type { PruneRules } from '../../../src/cache/retention.ts'
import type { Config } from '../../../src/config/config.ts'
import { formatImageName, type ImageName } from '../../../src/oci/image-name.ts'
import type { Service } from '../../../src/server/service.ts'
import { temporaryDirectory } from '../../support/files.ts'
import { NOTHING_PRUNED } from '../../support/prune-report.ts'
import type { RawRequest, RawResponse } from '../../support/raw-http.ts'
import { RawConnection } from '../../support/raw-http.ts'
import { get, serve } from '../../support/service.ts'

export const JSON_PLEASE = { accept: 'application/json' }

/** Removes nothing, and says what a test wants. */
export class FakePruner implements Prunes {
  readonly asked: { readonly rules: PruneRules; readonly dryRun: boolean }[] = []
  answer: Omit<PruneReport, 'dryRun'> | Error = NOTHING_PRUNED
  last: Prunes['last']

  look(rules: PruneRules): Promise<PruneReport> {
    return this.#answer(rules, true)
  }

  prune(rules: PruneRules): Promise<PruneReport> {
    return this.#answer(rules, false)
  }

  async #answer(rules: PruneRules, dryRun: boolean): Promise<PruneReport> {
    this.asked.push({ rules, dryRun })
    if (this.answer instanceof Error) throw this.answer
    return { dryRun, ...this.answer }
  }
}

/** Loads nothing. */
export class FakeLoads implements ImageLoads {
  readonly asked: { readonly images: readonly string[]; readonly options: ImageLoadOptions }[] = []
  progress: ImageLoads['progress']
  joined: readonly ImageName[] = []
  failure: Error | undefined

  load(images: readonly ImageName[], options: ImageLoadOptions): readonly ImageName[] {
    if (this.failure !== undefined) throw this.failure
    this.asked.push({ images: images.map(formatImageName), options })
    return this.joined
  }
}

export type AdminGround = Awaited<ReturnType<typeof layAdmin>>

export async function layAdmin(t: TestContext, config: Partial<Config> = {}) {
  const [pruner, loads] = [new FakePruner(), new FakeLoads()]
  const service = await serve(t, { imagePath: await temporaryDirectory(t), ...config }, { pruner, loads })
  const ask = (target: string, options: Omit<RawRequest, 'target'> = {}) => get(service, target, options)
  return { service, pruner, loads, ask, text: async (target: string) => (await ask(target)).body.toString() }
}

/** Through an address and port of the test's own choice. */
export async function askAt(port: number, request: RawRequest, host?: string): Promise<RawResponse> {
  const connection = await RawConnection.open(port, host)
  try {
    return await connection.ask(request)
  } finally {
    connection.close()
  }
}

export function messageOf(response: RawResponse): string {
  const { errors } = response.json() as { errors: { code: string; message: string }[] }
  return errors[0]?.message ?? ''
}

/** Pulls an image whole, as a client does. */
export async function pull(service: Service, path: string, tag: string, layers: readonly string[], ns: string): Promise<void> {
  await get(service, `/v2/${path}/manifests/${tag}?ns=${ns}`)
  for (const layer of layers) await get(service, `/v2/${path}/blobs/${layer}?ns=${ns}`)
}
