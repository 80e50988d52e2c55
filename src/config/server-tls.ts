/** Reads `serverTlsConfig`, TLS towards clients, and looks into its files. Whoever asks for TLS gets it or a mistake, never less. */
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { soonInvalidAt } from '../tls/pem.ts'
import { checkTlsFiles } from './certificates.ts'
import type { ServerTlsConfig } from './config.ts'
import type { Findings } from './findings.ts'
import { type ServerTlsSection, serverTlsTable } from './settings.ts'

const AT = 'serverTlsConfig'

export type ServerTls = {
  /** Undefined: plain HTTP. Can be used only if `findings` has no mistake. */
  readonly serverTls: ServerTlsConfig | undefined
  readonly warnings: readonly string[]
}

/** @param nowMs milliseconds since 1970 */
export async function readServerTls(section: ServerTlsSection | undefined, nowMs: number, findings: Findings): Promise<ServerTls> {
  if (section === undefined) return { serverTls: undefined, warnings: [] }
  const { cert, key, ca, clientAuth = serverTlsTable.clientAuth.default } = section.values
  if (cert === undefined || key === undefined) {
    refuseHalves(section, findings)
    return { serverTls: undefined, warnings: [] }
  }
  const outdated = await checkTlsFiles(withUsedFiles(section), AT, nowMs, findings, soonInvalidAt)
  await checkTogether(section, cert, key, findings)
  const unused = ca !== undefined && section.lines.clientAuth === undefined
  return {
    serverTls: { cert, key, ca, clientAuth },
    warnings: [...outdated, ...(unused ? [`${AT}.ca: is not used, since clientAuth is not verify: clients need no certificate`] : [])],
  }
}

/** Without a certificate of its own the server would speak plain HTTP: that is what nothing at all says, and nothing less. */
function refuseHalves({ values, lines, line }: ServerTlsSection, findings: Findings): void {
  const mistake = (key: keyof typeof values, problem: string) => findings.mistake(lines[key] ?? line, `${AT}.${key}`, problem)
  if (values.cert !== undefined) mistake('cert', 'found without key, want both')
  else if (values.key !== undefined) mistake('key', 'found without cert, want both')
  else if (values.clientAuth === 'verify') mistake('clientAuth', 'found verify without cert and key, want them too')
  else if (values.ca !== undefined) mistake('ca', 'found without cert and key, want them too')
}

/** What no client is verified against may be anything. */
function withUsedFiles({ line, values: { cert = '', key = '', ca, clientAuth }, lines }: ServerTlsSection) {
  return { line, lines, values: { cert, key, ...(ca === undefined || clientAuth !== 'verify' ? {} : { ca }) } }
}

/** What is well-formed may still be refused: a key that is too short, a signature that is too weak. */
async function checkTogether({ line, lines }: ServerTlsSection, cert: string, key: string, findings: Findings): Promise<void> {
  if (findings.any) return
  try {
    createSecureContext({ cert: await readFile(cert), key: await readFile(key) })
  } catch (error) {
    findings.mistake(lines.cert ?? line, `${AT}.cert`, `cannot use ${cert} and ${key}: ${(error as Error).message}, want what TLS takes`)
  }
}
