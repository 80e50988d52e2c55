/** What a cell of the matrix plays on: a registry that can misbehave, what it holds, and servers one after the other on one directory. */
import assert from 'node:assert/strict'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Digest, digestFileName } from '../../src/oci/digest.ts'
import type { Certificate } from '../support/certificates.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import type { AddedImage } from '../support/fake-registry-content.ts'
import { hangAt } from '../support/fake-registry-faults.ts'
import { FakeNames } from '../support/fake-registry-names.ts'
import { temporaryDirectory } from '../support/files.ts'
import type { RawResponse } from '../support/raw-http.ts'
import { entry, startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { randomBytes } from './bytes.ts'
import { PacedClock } from './paced-clock.ts'

const REGISTRY = 'registry.example'
const REPOSITORY = 'team/app'
/** Ranges begin here: their last byte is the blob's, so that none is complete before the digest is verified. */
export const RANGE_START = 500_000
export const LAYER = randomBytes('layer', 768 * 1024)
/** How much of a blob a half-downloaded one has. */
const HALF_BYTES = 300_000
const SMALL_LAYER = randomBytes('small', 100 * 1024)

/** What is asked for: how, and what a right answer holds. */
export type Thing = { readonly target: string; readonly headers: Readonly<Record<string, string>>; readonly bytes: Buffer }

/** How the registry is reached: plainly; by TLS; by a name that is looked up; with tokens; with blobs and manifests on a CDN. */
export type Setting = 'plain' | 'tls' | 'named' | 'tokens' | 'cdn'

export class Stage {
  readonly clock = new PacedClock()
  readonly names = new FakeNames()
  readonly image: AddedImage
  readonly bystander: AddedImage
  readonly servers: TestServer[] = []
  /** What the tag was moved to. */
  moved: AddedImage | undefined

  private constructor(
    readonly registry: FakeRegistry,
    readonly cdn: FakeRegistry,
    readonly imagePath: string,
    private readonly test: TestContext,
    private readonly setting: Setting,
  ) {
    this.image = registry.addImage(REPOSITORY, 'latest', { layers: [LAYER] })
    this.bystander = registry.addImage('team/bystander', '1', { layers: [SMALL_LAYER] })
  }

  static async open(t: TestContext, setting: Setting, certificate: Certificate): Promise<Stage> {
    const imagePath = await temporaryDirectory(t)
    const registry = await startFakeRegistry(t, {
      ...(setting === 'tls' ? { tls: certificate } : {}),
      ...(setting === 'tokens' ? { auth: { scheme: 'bearer' } } : {}),
    })
    const cdn = await startFakeRegistry(t, { content: registry.content })
    return new Stage(registry, cdn, imagePath, t, setting)
  }

  /** The server that runs now. */
  get server(): TestServer {
    const server = this.servers.at(-1)
    assert(server !== undefined)
    return server
  }

  get layer(): Digest {
    return this.image.layers[0] as Digest
  }

  get tag(): Thing {
    return manifestThing(REPOSITORY, 'latest', this.image)
  }

  get movedTag(): Thing {
    return manifestThing(REPOSITORY, 'latest', this.moved ?? this.image)
  }

  get manifest(): Thing {
    return manifestThing(REPOSITORY, this.image.digest, this.image)
  }

  get blob(): Thing {
    return blobThing(REPOSITORY, this.layer, LAYER)
  }

  get range(): Thing {
    return { ...this.blob, headers: { range: `bytes=${RANGE_START}-` }, bytes: LAYER.subarray(RANGE_START) }
  }

  /** Bytes of the layer that any server upstream has sent. */
  get layerBytesSent(): number {
    return this.registry.bytesSent(this.layer) + this.cdn.bytesSent(this.layer)
  }

  get requestsUpstream(): number {
    return this.registry.count() + this.cdn.count()
  }

  /** A server on the directory, in place of the one before. */
  async startServer(): Promise<void> {
    await this.servers.at(-1)?.stop()
    const { registry, setting, imagePath, clock, names } = this
    const known = entry(registry, REGISTRY)
    const address = setting === 'named' ? `${REGISTRY}:${registry.port}` : known.address
    this.servers.push(
      await startServer(this.test, {
        registries: [{ ...known, address, tls: { insecureSkipVerify: setting === 'tls' } }],
        alwaysPullLatest: true,
        pullTimeoutMs: 20_000,
        imagePath,
        clock,
        resolve: names.resolve,
      }),
    )
  }

  ask({ target, headers }: Thing): Promise<RawResponse> {
    return this.server.get(target, headers)
  }

  /** @throws AssertionError if it does not come, whole and right */
  async pull(thing: Thing): Promise<void> {
    const response = await this.ask(thing)
    assert.deepEqual(
      [response.status, response.complete],
      [200, true],
      `${thing.target}: ${response.body.toString('latin1').slice(0, 300)}`,
    )
    assert(response.body.equals(thing.bytes), `${thing.target}: other bytes`)
  }

  /** Another image, which everybody may have while something is wrong. */
  async pullBystander(): Promise<void> {
    for (const thing of this.bystanders) await this.pull(thing)
  }

  get bystanders(): readonly Thing[] {
    const { bystander } = this
    const layers = [blobThing('team/bystander', bystander.layers[0] as Digest, SMALL_LAYER)]
    return [manifestThing('team/bystander', '1', bystander), manifestThing('team/bystander', bystander.digest, bystander), ...layers]
  }

  /** Upstream the tag stands for something else from now on: who checks it has to pull. */
  moveTag(): void {
    this.moved = this.registry.addImage(REPOSITORY, 'latest', { layers: [SMALL_LAYER], fields: { annotations: { moved: 'yes' } } })
  }

  /** Leaves a blob of which only the beginning came before its server was stopped, and a server that has not asked for it yet. */
  async leaveHalfABlob(): Promise<void> {
    const fault = this.registry.fault({ match: { digest: this.layer }, do: [hangAt(HALF_BYTES)] })
    const asked = this.ask(this.blob).catch(() => {})
    const spool = join(this.imagePath, 'pulls', digestFileName(this.layer))
    await until(
      () =>
        stat(spool)
          .then(({ size }) => size === HALF_BYTES)
          .catch(() => false),
      'half of the blob lies in the spool',
    )
    await this.startServer()
    await asked
    fault.remove()
  }

  /** The same with a manifest: nothing of that is kept. */
  async leaveHalfAManifest({ target }: Thing): Promise<void> {
    const fault = this.registry.fault({ match: { kind: 'manifest' }, do: [hangAt(50)] })
    const asked = this.ask({ target, headers: {}, bytes: Buffer.alloc(0) }).catch(() => {})
    await until(() => fault.hits > 0, 'the manifest is on its way')
    await this.startServer()
    await asked
    fault.remove()
  }

  /** Names of the spool's files. */
  spooled(): Promise<string[]> {
    return readdir(join(this.imagePath, 'pulls')).catch(() => [])
  }
}

function manifestThing(repository: string, target: string, { bytes }: AddedImage): Thing {
  return { target: `/v2/${repository}/manifests/${target}?ns=${REGISTRY}`, headers: {}, bytes }
}

function blobThing(repository: string, digest: Digest, bytes: Buffer): Thing {
  return { target: `/v2/${repository}/blobs/${digest}?ns=${REGISTRY}`, headers: {}, bytes }
}
