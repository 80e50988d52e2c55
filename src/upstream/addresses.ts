/** Which addresses this server connects to: clients choose names, so that a name must not lead into the machine it runs on. Pure. */
import { isIPv4, isIPv6 } from 'node:net'

/** `unspecified` is what is nobody's address: 0.0.0.0/8, 240.0.0.0/4, broadcast, `::`. */
export type AddressClass = 'public' | 'private' | 'loopback' | 'linkLocal' | 'unspecified' | 'multicast' | 'metadata'

/** Services that hand a machine's credentials to whoever asks from it. */
const METADATA: ReadonlySet<string> = new Set([
  '169.254.169.254', // AWS, Azure, Google and most others
  '169.254.170.2', // ECS tasks
  '169.254.170.23', // EKS pods
  '100.100.100.200', // Alibaba
  '192.0.0.192', // Oracle
  '168.63.129.16', // Azure's wire server
  'fd00:ec2:0:0:0:0:0:254', // AWS
  'fd00:ec2:0:0:0:0:0:23', // EKS pods
  'fd20:ce:0:0:0:0:0:254', // Google
])

type Block = readonly [prefix: readonly number[], bits: number, AddressClass]

/** RFC 6890 and its registry; what is in none of the blocks is public. */
const IPV4_BLOCKS: readonly Block[] = [
  [[0], 8, 'unspecified'],
  [[10], 8, 'private'],
  [[100, 64], 10, 'private'],
  [[127], 8, 'loopback'],
  [[169, 254], 16, 'linkLocal'],
  [[172, 16], 12, 'private'],
  [[192, 168], 16, 'private'],
  [[198, 18], 15, 'private'],
  [[224], 4, 'multicast'],
  [[240], 4, 'unspecified'],
]

const IPV6_BLOCKS: readonly Block[] = [
  [[0, 0, 0, 0, 0, 0, 0, 0], 128, 'unspecified'],
  [[0, 0, 0, 0, 0, 0, 0, 1], 128, 'loopback'],
  [[0xfc00], 7, 'private'],
  [[0xfe80], 10, 'linkLocal'],
  [[0xfec0], 10, 'private'],
  [[0xff00], 8, 'multicast'],
]

/** IPv6 that stands for an IPv4 address: which prefix, and the word at which that address begins. */
const EMBEDDINGS: readonly (readonly [prefix: readonly number[], bits: number, word: number])[] = [
  [[0, 0, 0, 0, 0, 0xffff], 96, 6], // mapped
  [[0, 0, 0, 0, 0xffff, 0], 96, 6], // translated (RFC 2765)
  [[0, 0, 0, 0, 0, 0], 96, 6], // compatible (RFC 4291 2.5.5.1)
  [[0x64, 0xff9b, 0, 0, 0, 0], 96, 6], // NAT64
  [[0x64, 0xff9b, 1], 48, 6], // NAT64 of one's own (RFC 8215)
  [[0x2002], 16, 1], // 6to4
]

/** @param address as a resolver or a parsed URL spells it; with or without zone. Anything else is 'unspecified' */
export function classify(address: string): AddressClass {
  const plain = address.split('%', 1)[0] ?? ''
  if (isIPv4(plain)) return classifyV4(plain.split('.').map(Number))
  return isIPv6(plain) ? classifyV6(wordsOf(plain)) : 'unspecified'
}

/** @param exempt classes besides public and private ones that this connection may use. Metadata services are never allowed */
export function isAllowed(address: string, exempt: ReadonlySet<AddressClass>): boolean {
  const found = classify(address)
  return found !== 'metadata' && (found === 'public' || found === 'private' || exempt.has(found))
}

function classifyV4(bytes: readonly number[]): AddressClass {
  return METADATA.has(bytes.join('.')) ? 'metadata' : lookUp(IPV4_BLOCKS, bytes, 8)
}

function classifyV6(words: readonly number[]): AddressClass {
  if (METADATA.has(words.map((word) => word.toString(16)).join(':'))) return 'metadata'
  const found = lookUp(IPV6_BLOCKS, words, 16)
  if (found !== 'public') return found
  const embedding = EMBEDDINGS.find(([prefix, bits]) => hasPrefix(words, prefix, bits, 16))
  return embedding === undefined ? 'public' : classifyV4(bytesOf(words.slice(embedding[2], embedding[2] + 2)))
}

function lookUp(blocks: readonly Block[], parts: readonly number[], width: number): AddressClass {
  return blocks.find(([prefix, bits]) => hasPrefix(parts, prefix, bits, width))?.[2] ?? 'public'
}

/** @param width bits in a part */
function hasPrefix(parts: readonly number[], prefix: readonly number[], bits: number, width: number): boolean {
  return prefix.every((wanted, index) => {
    const ignored = Math.max(0, width - Math.max(0, bits - index * width))
    return (parts[index] ?? 0) >> ignored === wanted >> ignored
  })
}

function bytesOf(words: readonly number[]): number[] {
  return words.flatMap((word) => [word >> 8, word & 0xff])
}

/** The eight words of a valid IPv6 address, `::` and a dotted end written out. */
function wordsOf(address: string): number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address)
  if (dotted !== null) {
    const [a = 0, b = 0, c = 0, d = 0] = dotted.slice(2).map(Number)
    return wordsOf(`${dotted[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`)
  }
  const [head = '', tail] = address.split('::', 2)
  const words = (part: string): number[] => (part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16)))
  const [left, right] = [words(head), words(tail ?? '')]
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right]
}
