/** Plays one cell of the matrix: prepares what its state wants, puts the fault in force, asks, lifts it, and holds everything against the promises. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { digestFileName } from '../../src/oci/digest.ts'
import type { Certificate } from '../support/certificates.ts'
import type { RawResponse } from '../support/raw-http.ts'
import { until } from '../support/until.ts'
import { type Cell, type Expected, expectedOf, isBlob } from './cells.ts'
import type { Held } from './faults.ts'
import { LAYER, RANGE_START, Stage, type Thing } from './stage.ts'
import { faultsOfStore, leftoversOfStore } from './store-check.ts'

/** How fast the clock runs where nothing but time helps, and where tries follow each other. */
const SILENT_PACE = 40
const RETRY_PACE = 5
/** And where circuits and pauses have to pass before a registry is asked again. */
const RECOVERY_PACE = 10
/** Of the layer, sent twice in a download that was continued. */
const RESUMED_SHARE = 1.02

/** @throws AssertionError for a promise that was broken */
export async function play(t: TestContext, cell: Cell, certificate: Certificate): Promise<void> {
  const stage = await Stage.open(t, cell.fault.setting ?? 'plain', certificate)
  try {
    await playOn(stage, cell)
  } finally {
    await stage.server.stop() // also of a cell that failed, before its directory goes
  }
}

async function playOn(stage: Stage, cell: Cell): Promise<void> {
  const thing = await prepare(stage, cell)
  // connected before, so that all ask in one turn
  const connections = await Promise.all(Array.from({ length: cell.clients }, () => stage.server.connect()))
  const requestsBefore = stage.requestsUpstream
  const held = await cell.fault.impose(stage)
  const asked = connections.map((connection) => connection.ask(thing))
  const answers = Promise.allSettled(asked) // a failure is looked at when its turn comes
  const expected = expectedOf(cell)
  if (expected !== 'hit') await until(() => held.hits > 0, 'the fault is met')
  stage.clock.run(paceOf(cell)) // not before: a busy machine is no fault of the registry
  await assertBystanderIsServed(stage)
  if (expected !== 'awaited') assertAnswers(await Promise.all(asked), cell, stage)
  if (expected === 'hit') assert.equal(stage.requestsUpstream, requestsBefore, 'nobody was asked for what is cached')
  await assertNothingWrongIsKept(stage)

  await lift(held, stage)
  stage.clock.run(RECOVERY_PACE)
  await answers
  if (expected === 'awaited') assertAnswers(await Promise.all(asked), cell, stage)
  await assertRecovered(stage, afterwards(cell, stage))
  assertFewBytes(cell, stage)
  await assertCleanEnd(stage)
}

/** @returns what clients are to ask for */
async function prepare(stage: Stage, cell: Cell): Promise<Thing> {
  const { what, state } = cell
  const thing = stage[what === 'digest' ? 'manifest' : what]
  await stage.startServer()
  await stage.pullBystander()
  if (isBlob(cell)) await stage.pull(stage.manifest) // as clients do: so the size of the blob is known
  if (state === 'cached') await stage.pull(isBlob(cell) ? stage.blob : thing)
  if (state === 'cached') await stage.server.settled()
  if (state === 'half') await (isBlob(cell) ? stage.leaveHalfABlob() : stage.leaveHalfAManifest(thing))
  if (state === 'cached' && what === 'tag') stage.moveTag()
  return thing
}

function paceOf(cell: Cell): number {
  if (cell.fault.silent === true) return SILENT_PACE
  return isBlob(cell) ? RETRY_PACE : 1
}

/** What is right once the fault is over. */
function afterwards({ what }: Cell, stage: Stage): Thing {
  if (what === 'tag') return stage.movedTag
  return what === 'digest' ? stage.manifest : stage[what]
}

async function lift(held: Held, stage: Stage): Promise<void> {
  await held.remove()
  stage.registry.dropConnections() // with what the fault still holds
  stage.cdn.dropConnections()
}

/** Rule 2: trouble upstream never slows or breaks what the cache can answer. */
async function assertBystanderIsServed(stage: Stage): Promise<void> {
  for (const thing of stage.bystanders) {
    const response = await stage.ask(thing)
    assert.deepEqual([response.status, response.complete, response.header('cache-status')], [200, true, 'ociregistry; hit'], thing.target)
    assert(response.body.equals(thing.bytes), `${thing.target}: other bytes`)
  }
}

function assertAnswers(responses: readonly RawResponse[], cell: Cell, stage: Stage): void {
  for (const response of responses) assertAnswer(response, expectedOf(cell), cell, stage)
  if (expectedOf(cell) === 'refused')
    assert(
      responses.some(({ status }) => status === cell.fault.status),
      'somebody is told what it is',
    )
}

function assertAnswer(response: RawResponse, expected: Expected, cell: Cell, stage: Stage): void {
  const said = `${response.status} ${response.header('cache-status')}: ${response.status < 300 ? `${response.body.length} bytes` : response.body}`
  switch (expected) {
    case 'hit':
      assertWhole(response, cell, stage, said)
      assert.equal(response.header('cache-status'), 'ociregistry; hit')
      return
    case 'stale':
      assertWhole(response, cell, stage, said)
      assert.equal(response.header('cache-status'), `ociregistry; hit; detail=stale-${cell.fault.cause}`)
      assert.match(response.header('warning') ?? '', /^299 - "/)
      return
    case 'served':
    case 'awaited':
      assertWhole(response, cell, stage, said)
      assert.equal(response.header('warning'), undefined)
      return
    case 'refused':
      assertRefused(response, cell, said)
      return
    case 'broken':
      if (response.status >= 400) assertRefused(response, cell, said)
      else assertShort(response, cell, said)
      return
    case 'honest':
      if (response.status >= 400) assertRefused(response, cell, said)
      else if (response.complete) assertWhole(response, cell, stage, said)
      else assertShort(response, cell, said)
  }
}

function assertWhole(response: RawResponse, cell: Cell, stage: Stage, said: string): void {
  const status = cell.what === 'range' ? 206 : 200
  assert.deepEqual([response.status, response.complete], [status, true], said)
  const right = expectedOf(cell) === 'stale' ? stage.tag : afterwards(cell, stage)
  assert(response.body.equals(right.bytes), `${said}: other bytes`)
}

/** Who comes a moment later may find the circuit open, or the registry not to be asked for a while: then nobody is asked for him. */
function assertRefused(response: RawResponse, { fault, clients }: Cell, said: string): void {
  const { code } = (response.json() as { errors: { code: string }[] }).errors[0] ?? {}
  const late = clients > 1 && response.status === 503 ? detailOf(response) : undefined
  if (late === 'circuit-open') assert.equal(code, 'UNAVAILABLE', said)
  else if (late === 'limited' && fault.pauses === true) assert.equal(code, 'TOOMANYREQUESTS', said)
  else assert.deepEqual([response.status, code], [fault.status, fault.code], said)
  assert.equal(response.header('retry-after') !== undefined, response.status === 503, `Retry-After belongs to 503: ${said}`)
  assert.equal(response.header('www-authenticate'), undefined)
}

function detailOf(response: RawResponse): string | undefined {
  return /detail=([a-z-]+)/.exec(response.header('cache-status') ?? '')?.[1]
}

/** What has come is right, and the digest was not waited for in vain: the tail is missing. */
function assertShort(response: RawResponse, cell: Cell, said: string): void {
  assert(isBlob(cell), `only blobs may end short: ${said}`)
  const whole = cell.what === 'range' ? LAYER.subarray(RANGE_START) : LAYER
  assert.equal(response.complete, false, said)
  assert(response.body.length <= whole.length - 64 * 1024, `the tail waits for the digest: ${said}`)
}

/** Rule 1, at the very moment: what is stored is right, and what lies in the spool is the beginning of a blob. */
async function assertNothingWrongIsKept(stage: Stage): Promise<void> {
  assert.deepEqual(await storeFaults(stage), [])
  const spool = join(stage.imagePath, 'pulls', digestFileName(stage.layer))
  await until(async () => {
    const bytes = await readFile(spool).catch(() => Buffer.alloc(0))
    return bytes.equals(LAYER.subarray(0, bytes.length))
  }, 'the spool holds the beginning of a blob, or nothing')
}

/** As soon as it works again, it works: a circuit that is open or a pause that was asked for may take its time. */
async function assertRecovered(stage: Stage, thing: Thing): Promise<void> {
  let last = ''
  const recovered = async (): Promise<boolean> => {
    const response = await stage.ask(thing)
    last = `${response.status} ${response.header('cache-status')}`
    return response.status < 300 && response.complete && response.body.equals(thing.bytes)
  }
  await until(recovered, 'a new request succeeds').catch((error: Error) => assert.fail(`${error.message}; last: ${last}`))
}

/** Rule 3: no byte is downloaded twice, unless it was wrong. */
function assertFewBytes(cell: Cell, stage: Stage): void {
  const { fault } = cell
  if (!isBlob(cell) || fault.corrupts === true) return
  const most = LAYER.length * RESUMED_SHARE
  assert(stage.layerBytesSent <= most, `${stage.layerBytesSent} bytes came from upstream for a blob of ${LAYER.length}`)
}

/** Rule 5: everything is stored, nothing is left over, nothing is held on to. */
async function assertCleanEnd(stage: Stage): Promise<void> {
  await until(async () => (await stage.spooled()).length === 0, 'the spool is empty')
  await stage.server.stop()
  assert.deepEqual(await storeFaults(stage), [])
  assert.deepEqual(await leftoversOfStore(stage.imagePath), [])
  assert.deepEqual(stage.server.openFiles(), [])
  assert.equal(stage.server.buffers.lent, 0)
  assert.deepEqual(
    stage.servers.flatMap(({ log }) => log.lines.filter(({ message }) => message.startsWith('unexpected'))),
    [],
  )
  await until(() => stage.registry.connections + stage.cdn.connections === 0, 'no connection upstream is left')
}

function storeFaults(stage: Stage): Promise<string[]> {
  const images = [stage.image, stage.bystander, ...(stage.moved === undefined ? [] : [stage.moved])]
  const digests = images.flatMap(({ digest, config, layers }) => [digest, config, ...layers])
  return faultsOfStore(stage.imagePath, new Set<string>(digests))
}
