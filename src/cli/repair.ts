/** `verify --repair`: moves what is wrong to quarantine, fetches it again from where it came, and looks whether that helped. */
import type { Cache } from '../cache/cache.ts'
import { Inspector } from '../cache/inspector.ts'
import { Pace } from '../cache/pace.ts'
import type { Source } from '../cache/sources.ts'
import { type CheckReport, type Finding, StoreCheck } from '../cache/store-check.ts'
import { oneBuffer } from '../cache/verification.ts'
import type { Config } from '../config/config.ts'
import { reasonOf } from '../config/errno.ts'
import type { Log } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import type { ServiceDeps } from '../server/service.ts'
import { filesOf, StoreFiles } from '../store/store-files.ts'
import { type StoreParts, storeParts } from '../store/store-parts.ts'
import { VERSION } from './build-info.ts'
import { withCache } from './command-cache.ts'
import { holderOf, takeStore } from './held-store.ts'
import type { Io } from './io.ts'
import type { Outcome, VerifyReport } from './verify-report.ts'

export type RepairOptions = { readonly config: Config; readonly rate: number | undefined; readonly io: Io; readonly log: Log }

const ANY = { onlyIfCached: false }
const AIR_GAPPED = 'the configuration is air-gapped: no registry is asked'

/** Why something could not be mended, by its kind and digest. */
type Obstacles = Map<string, string>

/** What a round brings may be in want of more: an index of its images, an image of its blobs. */
const ROUNDS = 4

/** @throws ConfigError while a server holds the store */
export async function repair({ config, rate, io, log }: RepairOptions): Promise<VerifyReport> {
  const { clock } = io
  const parts = storeParts({
    imagePath: config.imagePath,
    minFree: config.minFree,
    self: holderOf('ociregistry verify --repair', io),
    clock,
    log,
  })
  await takeStore(
    parts,
    'repair',
    () => 'a running server mends what is damaged itself (see the setting scrub); to have it fetch a file again now, remove that file',
  )
  try {
    const files = new StoreFiles(parts.path, log)
    const check = await new StoreCheck(files, new Inspector(files, new Pace(clock, rate))).run()
    const wrong = check.findings.filter(({ verdict }) => verdict === 'wrong')
    const obstacles = await quarantineAll(parts, files, wrong)
    const missing = () => stillMissing(files, new Inspector(files, new Pace(clock, rate), false))
    const remaining = await fetchInRounds(parts, { config, clock, log, version: VERSION }, missing, obstacles)
    return { store: config.imagePath, ...(await concluded(check, remaining, obstacles, files)) }
  } finally {
    await parts.hold.release()
  }
}

/** What references and images lack, without reading every blob again. */
async function stillMissing(files: StoreFiles, inspector: Inspector): Promise<readonly Finding[]> {
  const { findings } = await new StoreCheck(files, inspector).run()
  return findings.filter(({ verdict, file }) => verdict === 'wrong' && file === undefined)
}

/** @returns what is missing in the end */
async function fetchInRounds(
  parts: StoreParts,
  deps: ServiceDeps,
  missing: () => Promise<readonly Finding[]>,
  obstacles: Obstacles,
): Promise<readonly Finding[]> {
  let lacking = await missing()
  for (let round = 0; round < ROUNDS; round++) {
    const untried = lacking.filter((finding) => !obstacles.has(keyOf(finding)))
    if (untried.length === 0) break
    if (deps.config.airGapped) for (const finding of untried) obstacles.set(keyOf(finding), AIR_GAPPED)
    else await fetchAll(parts, deps, untried, obstacles)
    lacking = await missing()
  }
  return lacking
}

/** What was found, what came of it, and what turned out to be missing on the way. */
async function concluded(
  check: CheckReport,
  remaining: readonly Finding[],
  obstacles: Obstacles,
  files: StoreFiles,
): Promise<Pick<VerifyReport, 'check' | 'outcomes'>> {
  const found = new Set(check.findings.map(keyOf))
  const findings = [...check.findings, ...remaining.filter((finding) => !found.has(keyOf(finding)))]
  const missing = new Set(remaining.map(keyOf))
  const outcomes = new Map<Finding, Outcome>()
  for (const finding of findings.filter(({ verdict }) => verdict === 'wrong')) {
    const key = keyOf(finding)
    const why = obstacles.get(key) ?? (missing.has(key) ? 'what came could not be stored' : undefined)
    outcomes.set(finding, why === undefined ? { is: (await isBack(finding, files)) ? 'mended' : 'quarantined' } : { is: 'remains', why })
  }
  return { check: { ...check, findings }, outcomes }
}

/** Where it is not, nothing that is stored needs it. */
async function isBack({ kind, digest }: Finding, files: StoreFiles): Promise<boolean> {
  const candidates = kind === 'blob' || kind === 'record' ? filesOf(kind, digest) : []
  const identities = await Promise.all(candidates.map((file) => files.identity(file)))
  return identities.some((identity) => identity !== undefined)
}

function keyOf({ kind, digest }: Finding): string {
  return `${kind} ${digest}`
}

/** @returns what could not be moved, and why */
async function quarantineAll({ store }: StoreParts, files: StoreFiles, wrong: readonly Finding[]): Promise<Obstacles> {
  const obstacles: Obstacles = new Map()
  for (const finding of wrong) {
    const { file, onlyNameOf } = finding
    if (file === undefined) continue
    try {
      await files.quarantine(file.file, file.identity, finding.why)
      if (onlyNameOf !== undefined) await store.putRef(onlyNameOf)
    } catch (error) {
      obstacles.set(keyOf(finding), `cannot move it to quarantine/: ${reasonOf(error)}`)
    }
  }
  return obstacles
}

async function fetchAll(parts: StoreParts, deps: ServiceDeps, wanted: readonly Finding[], obstacles: Obstacles): Promise<void> {
  await withCache(parts, deps, async (cache) => {
    for (const finding of wanted) {
      const obstacle = await fetchAgain(cache, finding)
      if (obstacle !== undefined) obstacles.set(keyOf(finding), obstacle)
    }
  })
}

/** @returns why it could not be fetched */
async function fetchAgain(cache: Cache, { kind, digest, sources }: Finding): Promise<string | undefined> {
  let obstacle = 'nothing says where it came from'
  for (const source of sources) {
    try {
      if (kind === 'record') await cache.manifests.get({ ...source, digest }, ANY, false)
      else await download(cache, digest, source)
      return undefined
    } catch (error) {
      obstacle = reasonOf(error)
    }
  }
  return obstacle
}

/** Its end comes when it is verified. */
async function download(cache: Cache, digest: Digest, source: Source): Promise<void> {
  const { blob } = await cache.blobs.open(digest, source, ANY)
  try {
    for await (const _ of blob.read(0, blob.sizeBytes, oneBuffer()));
  } finally {
    blob.close()
  }
}
