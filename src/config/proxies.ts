/** The forward proxies that the environment names, and the hosts that are reached without: parsed once, at start. `upstream/proxies.ts` goes by it. */
import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import type { ProxyConfig, ProxyException, ProxyServer } from './config.ts'
import { ConfigError } from './error.ts'

type Env = Readonly<Record<string, string | undefined>>

const WANT = 'want http://[user:password@]host[:port], with %40 for @ and so on in user and password'

/**
 * `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, in capitals first, as all programs written in Go read them (golang.org/x/net/http/httpproxy):
 * what the container tools beside this server make of an environment, this server makes of it, too.
 * @returns also one line for each value that can mean nothing
 * @throws ConfigError naming the variable; its value is never shown, since it may hold a password
 */
export function readProxies(env: Env): { readonly proxies: ProxyConfig; readonly warnings: readonly string[] } {
  const [http, https] = [readServer('HTTP_PROXY', env), readServer('HTTPS_PROXY', env)]
  const list = settingOf('NO_PROXY', env)
  const exceptions: ProxyException[] = []
  const warnings: string[] = []
  for (const entry of list?.value.split(/[\s,]+/).filter((text) => text !== '') ?? []) {
    const exception = readException(entry)
    if (exception !== undefined) exceptions.push(exception)
    else
      warnings.push(
        `${list?.variable}: ${JSON.stringify(entry)} matches nothing, want *, a domain, an address or a network such as 10.0.0.0/8`,
      )
  }
  const proxies = { ...(http === undefined ? {} : { http }), ...(https === undefined ? {} : { https }), exceptions }
  return { proxies, warnings: http === undefined && https === undefined ? [] : warnings }
}

function settingOf(name: string, env: Env): { readonly variable: string; readonly value: string } | undefined {
  const variable = [name, name.toLowerCase()].find((each) => (env[each] ?? '').trim() !== '')
  return variable === undefined ? undefined : { variable, value: env[variable]?.trim() ?? '' }
}

function readServer(name: string, env: Env): ProxyServer | undefined {
  const found = settingOf(name, env)
  if (found === undefined) return undefined
  const { variable, value } = found
  const text = /^[a-z][a-z\d+.-]*:\/\//i.test(value) ? value : `http://${value}`
  if (!URL.canParse(text)) throw new ConfigError(`${variable} in the environment: found what is no URL of a proxy, ${WANT}`)
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new ConfigError(`${variable} in the environment: found a proxy of the type ${url.protocol.slice(0, -1)}, want http or https`)
  }
  return { variable, origin: url.origin, ...authorizationOf(url, variable) }
}

/** RFC 7617; what stands between the colon and the base64 can be no line end, so that nothing can be added to the request. */
function authorizationOf({ username, password }: URL, variable: string): { readonly authorization?: string } {
  if (username === '' && password === '') return {}
  try {
    const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
    return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` }
  } catch {
    throw new ConfigError(`${variable} in the environment: found a user or password with a % that begins no code, ${WANT}`)
  }
}

/** @returns undefined for what can match nothing */
function readException(entry: string): ProxyException | undefined {
  if (entry === '*') return { kind: 'all' }
  const network = /^\[?([^\]/]+)\]?\/(\d{1,3})$/.exec(entry)
  if (network !== null) return addressesOf(network[1] ?? '', Number(network[2]), undefined)
  const { host, port } = splitPort(entry)
  const literal = literalOf(host)
  return literal === undefined ? domainOf(host, port) : addressesOf(literal, undefined, port)
}

/** `host`, `host:port`, `[::1]:port` or a bare IPv6 address. */
function splitPort(entry: string): { readonly host: string; readonly port: string | undefined } {
  if (isIP(entry) !== 0) return { host: entry, port: undefined }
  const [, host = entry, port] = /^(.*):(\d{1,5})$/.exec(entry) ?? []
  return { host, port: port === undefined ? undefined : String(Number(port)) }
}

function literalOf(host: string): string | undefined {
  const bare = host.replace(/^\[(.*)\]$/, '$1')
  return isIP(bare) === 0 ? undefined : bare
}

function addressesOf(address: string, bits: number | undefined, port: string | undefined): ProxyException | undefined {
  const version = isIP(address)
  const most = version === 4 ? 32 : 128
  const prefix = bits ?? most
  if (version === 0 || prefix > most) return undefined
  return { kind: 'addresses', address, prefix, family: version === 4 ? 'ipv4' : 'ipv6', ...(port === undefined ? {} : { port }) }
}

/** `example.com` is that host and all below it, `.example.com` and `*.example.com` only those below it. */
function domainOf(text: string, port: string | undefined): ProxyException | undefined {
  const below = /^\*?\./.test(text)
  const name = domainToASCII(
    text
      .replace(/^\*?\./, '')
      .replace(/\.$/, '')
      .toLowerCase(),
  )
  if (!/^[a-z\d_-]+(?:\.[a-z\d_-]+)*$/.test(name) || /^[\d.]+$/.test(name)) return undefined
  return { kind: 'domain', name, itself: !below, ...(port === undefined ? {} : { port }) }
}
