/** Private certificate authorities for tests, made by the openssl command line. */
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

/** PEM texts, and the files that hold them. */
export type Certificate = { readonly cert: string; readonly key: string; readonly certPath: string; readonly keyPath: string }

export type Authority = Certificate & {
  /** A leaf for servers and clients. @param names DNS names and IP addresses; the first one is its common name */
  issue(...names: string[]): Promise<Certificate>
}

/** @param directory an existing one, which the caller removes */
export async function makeAuthority(directory: string, name = 'Test CA'): Promise<Authority> {
  const base = join(directory, name.replaceAll(/\W+/g, '-'))
  await run('openssl', ['req', '-x509', ...CURVE, '-keyout', `${base}.key`, '-out', `${base}.crt`, '-days', '2', '-subj', `/CN=${name}`])
  const authority = await load(base)
  let issued = 0
  return { ...authority, issue: (...names) => issue(base, `${base}-${++issued}`, names) }
}

async function issue(authority: string, base: string, names: readonly string[]): Promise<Certificate> {
  const san = names.map((name) => `${/^[\d.]+$|:/.test(name) ? 'IP' : 'DNS'}:${name}`).join(',')
  await run('openssl', ['req', ...CURVE, '-keyout', `${base}.key`, '-out', `${base}.csr`, '-subj', `/CN=${names[0]}`])
  await writeFile(`${base}.ext`, `subjectAltName=${san}\nextendedKeyUsage=serverAuth,clientAuth\n`)
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
