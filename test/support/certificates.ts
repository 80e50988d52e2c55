/** Private certificate authorities for tests, made by the openssl command line. */
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { temporaryDirectory } from './files.ts'

const run = promisify(execFile)
const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

/** PEM texts, and the files that hold them. */
export type Certificate = { readonly cert: string; readonly key: string; readonly certPath: string; readonly keyPath: string }

export type Authority = Certificate & {
  /** A leaf for servers and clients. @param names DNS names and IP addresses; the first one is its common name */
  issue(...names: string[]): Promise<Certificate>
  /** The same, valid between two dates. */
  issueFor(validity: Validity, ...names: string[]): Promise<Certificate>
}

export type Validity = { readonly from: Date; readonly to: Date }

const DAY_MS = 86_400_000
const day = (days: number): Date => new Date(Math.floor(Date.now() / 1000) * 1000 + days * DAY_MS)
export const VALID: Validity = { from: day(-1), to: day(2) }
export const EXPIRED: Validity = { from: day(-3), to: day(-1) }
export const NOT_YET_VALID: Validity = { from: day(1), to: day(3) }

/** A certificate and its key in one text: good for `ca`, `cert` and `key` alike, at the time of any clock. */
export async function pemPair(t: Pick<TestContext, 'after'>): Promise<string> {
  const always = { from: new Date('2020-01-01'), to: new Date('2100-01-01') }
  const { cert, key } = await makeAuthority(await temporaryDirectory(t), 'always', always)
  return cert + key
}

/** @param directory an existing one, which the caller removes */
export async function makeAuthority(directory: string, name = 'Test CA', validity?: Validity): Promise<Authority> {
  const base = join(directory, name.replaceAll(/\W+/g, '-'))
  await run('openssl', ['req', '-x509', ...CURVE, '-keyout', `${base}.key`, '-out', `${base}.crt`, '-days', '2', '-subj', `/CN=${name}`])
  if (validity !== undefined)
    await sign(base, base, validity, ['-selfsign', '-ss_cert', `${base}.crt`], 'basicConstraints=critical,CA:true')
  const authority = await load(base)
  let issued = 0
  return {
    ...authority,
    issue: (...names) => issue(base, `${base}-${++issued}`, names),
    issueFor: (validity, ...names) => issueFor(base, `${base}-${++issued}`, validity, names),
  }
}

async function issueFor(authority: string, base: string, validity: Validity, names: readonly string[]): Promise<Certificate> {
  await makeRequest(base, names)
  await sign(authority, base, validity, ['-in', `${base}.csr`], extensionsFor(names))
  return load(base)
}

/** `openssl ca` is the one command of OpenSSL 3.0 that takes dates. */
async function sign(
  authority: string,
  base: string,
  { from, to }: Validity,
  request: readonly string[],
  extensions: string,
): Promise<void> {
  const [config, database] = [`${base}.cnf`, `${base}.db`]
  const section = `[ca]\ndefault_ca=a\n[a]\ndatabase=${database}\nnew_certs_dir=${dirname(base)}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n`
  await writeFile(config, `${section}x509_extensions=x\n[p]\ncommonName=supplied\n[x]\n${extensions}\n`)
  await writeFile(database, '')
  const dates = ['-startdate', asn1Time(from), '-enddate', asn1Time(to)]
  const signer = ['-cert', `${authority}.crt`, '-keyfile', `${authority}.key`]
  await run('openssl', ['ca', '-batch', '-notext', '-config', config, ...signer, ...dates, ...request, '-out', `${base}.crt`])
}

/** `20260131120000Z` */
function asn1Time(date: Date): string {
  return date.toISOString().replace(/\.\d+/, '').replaceAll(/[-:T]/g, '')
}

function extensionsFor(names: readonly string[]): string {
  const san = names.map((name) => `${/^[\d.]+$|:/.test(name) ? 'IP' : 'DNS'}:${name}`).join(',')
  return `subjectAltName=${san}\nextendedKeyUsage=serverAuth,clientAuth\n`
}

async function makeRequest(base: string, names: readonly string[]): Promise<void> {
  await run('openssl', ['req', ...CURVE, '-keyout', `${base}.key`, '-out', `${base}.csr`, '-subj', `/CN=${names[0]}`])
}

async function issue(authority: string, base: string, names: readonly string[]): Promise<Certificate> {
  await makeRequest(base, names)
  await writeFile(`${base}.ext`, extensionsFor(names))
  const signer = [
    '-CA',
    `${authority}.crt`,
    '-CAkey',
    `${authority}.key`,
    '-set_serial',
    `0x${Buffer.from(base).toString('hex').slice(-16)}`,
  ]
  await run('openssl', ['x509', '-req', '-in', `${base}.csr`, ...signer, '-days', '2', '-extfile', `${base}.ext`, '-out', `${base}.crt`])
  return load(base)
}

async function load(base: string): Promise<Certificate> {
  const [certPath, keyPath] = [`${base}.crt`, `${base}.key`]
  return { certPath, keyPath, cert: await readFile(certPath, 'utf8'), key: await readFile(keyPath, 'utf8') }
}
