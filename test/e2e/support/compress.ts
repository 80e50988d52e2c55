/** Valid gzip and zstd streams that store their content as it is: random bytes do not get smaller, and Node 20 has no zstd. */
import { gzipSync } from 'node:zlib'

export function gzipStored(content: Buffer): Buffer {
  return gzipSync(content, { level: 0 })
}

const rawBlockBytes = 128 * 1024

/** One frame of raw blocks (RFC 8878 3.1.1): magic, single segment with a four-byte content size, then block after block. */
export function zstdStored(content: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUInt32LE(0xfd2fb528, 0)
  head.writeUInt8(0b1010_0000, 4)
  head.writeUInt32LE(content.length, 5)
  const blocks: Buffer[] = []
  for (let start = 0; start < content.length; start += rawBlockBytes) {
    const block = content.subarray(start, start + rawBlockBytes)
    const last = start + rawBlockBytes >= content.length ? 1 : 0
    const blockHeader = Buffer.alloc(3)
    blockHeader.writeUIntLE((block.length << 3) | last, 0, 3)
    blocks.push(blockHeader, block)
  }
  return Buffer.concat([head, ...blocks])
}
