/** The programs of the built-in image: what the headers say, what the instructions do, and the one for this machine really run. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { elfThatPrints, type Machine } from '../../src/hello/elf.ts'
import { amd64, arm64 } from '../../src/hello/machines.ts'
import { platformOfNode } from '../../src/oci/platform.ts'
import { temporaryDirectory } from '../support/files.ts'

const TEXT = 'Good morning!\n'
const MACHINES: readonly (readonly [architecture: string, machine: Machine, elfMachine: number])[] = [
  ['amd64', amd64, 62], // EM_X86_64
  ['arm64', arm64, 183], // EM_AARCH64
]

/** A program header, as a loader reads it. */
function segmentAt(elf: Buffer, at: number) {
  const word64 = (offset: number) => Number(elf.readBigUInt64LE(at + offset))
  return {
    type: elf.readUInt32LE(at),
    flags: elf.readUInt32LE(at + 4),
    offset: word64(8),
    address: word64(16),
    fileBytes: word64(32),
    memoryBytes: word64(40),
    align: word64(48),
  }
}

function segmentsOf(elf: Buffer) {
  const [start, size, count] = [Number(elf.readBigUInt64LE(32)), elf.readUInt16LE(54), elf.readUInt16LE(56)]
  return Array.from({ length: count }, (_, i) => segmentAt(elf, start + i * size))
}

for (const [architecture, machine, elfMachine] of MACHINES) {
  const elf = elfThatPrints(TEXT, machine)

  test(`${architecture}: the file is an ELF64 executable for that machine, little-endian, without sections`, () => {
    assert.deepEqual([...elf.subarray(0, 16)], [0x7f, ...Buffer.from('ELF'), 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    const [type, machineNumber, version] = [elf.readUInt16LE(16), elf.readUInt16LE(18), elf.readUInt32LE(20)]
    assert.deepEqual([type, machineNumber, version], [2, elfMachine, 1])
    assert.deepEqual([elf.readUInt16LE(52), elf.readUInt16LE(54), elf.readUInt16LE(60)], [64, 56, 0])
  })

  test(`${architecture}: one segment is loaded, the whole file, page-aligned, to be read and run and not written`, () => {
    const [code, ...others] = segmentsOf(elf).filter(({ type }) => type === 1)
    assert.deepEqual(others, [])
    assert.deepEqual(code, {
      type: 1,
      flags: 4 | 1,
      offset: 0,
      address: 0x400000,
      fileBytes: elf.length,
      memoryBytes: elf.length,
      align: machine.pageBytes,
    })
    assert.equal(0x400000 % machine.pageBytes, 0)
    const entry = Number(elf.readBigUInt64LE(24))
    assert.ok(entry >= 0x400000 + 64 + 2 * 56 && entry < 0x400000 + elf.length, `it begins at ${entry.toString(16)}`)
  })

  test(`${architecture}: no code runs on the stack`, () => {
    const stacks = segmentsOf(elf).filter(({ type }) => type === 0x6474e551)
    assert.deepEqual(
      stacks.map(({ flags }) => flags),
      [4 | 2],
    )
  })

  test(`${architecture}: the same text gives the same bytes`, () => assert.ok(elfThatPrints(TEXT, machine).equals(elf)))
}

const own = platformOfNode(process.platform, process.arch)
const [, runnable] = MACHINES.find(([architecture]) => own.os === 'linux' && own.architecture === architecture) ?? []

test('the program for this machine prints its text and exits with 0', {
  skip: runnable === undefined && 'privilege: this machine runs no programs for linux on amd64 or arm64',
}, async (t) => {
  if (runnable === undefined) return
  const file = join(await temporaryDirectory(t), 'hello')
  await writeFile(file, elfThatPrints(TEXT, runnable), { mode: 0o755 })
  const { status, stdout, stderr, signal } = spawnSync(file, [], { encoding: 'utf8', timeout: 10_000 })
  assert.deepEqual({ status, signal, stdout, stderr }, { status: 0, signal: null, stdout: TEXT, stderr: '' })
})

test('arm64: the instructions are those that an assembler gives', () => {
  const code = arm64.code(32, 0x1c0)
  const words = Array.from({ length: code.length / 4 }, (_, i) => code.readUInt32LE(i * 4).toString(16))
  assert.deepEqual(words, [
    'd2800020', // mov x0, #1
    '100000e1', // adr x1, . + 28
    'd2803802', // mov x2, #448
    'd2800808', // mov x8, #64
    'd4000001', // svc #0
    'd2800000', // mov x0, #0
    'd2800ba8', // mov x8, #93
    'd4000001', // svc #0
  ])
})

test('arm64: an address that is no multiple of four is told to the byte', () => {
  // adr x1, . + 31: immlo (bits 29 and 30) is 3, immhi (from bit 5 on) is 7
  assert.equal(arm64.code(35, 1).readUInt32LE(4).toString(16), '700000e1')
})

type SystemCall = { readonly number: number; readonly arguments: readonly number[] }

/** Obeys the three kinds of instruction that the program has, by the encodings of the Arm Architecture Reference Manual. */
function systemCallsOf(elf: Buffer): SystemCall[] {
  const calls: SystemCall[] = []
  const x = new Array<number>(31).fill(-1)
  const begin = Number(elf.readBigUInt64LE(24))
  for (let pc = begin; pc < begin + 64; pc += 4) {
    const word = elf.readUInt32LE(pc - 0x400000)
    const register = word & 0x1f
    if (word >>> 21 === 0b11010010100)
      x[register] = (word >>> 5) & 0xffff // MOVZ: sf=1 opc=10 100101 hw=00 imm16 Rd
    else if (((word >>> 24) & 0x9f) === 0x10)
      x[register] = pc + (((word >>> 5) & 0x7ffff) << 2) + ((word >>> 29) & 3) // ADR: 0 immlo 10000 immhi Rd
    else if (word === 0xd4000001) calls.push({ number: x[8] ?? -1, arguments: x.slice(0, 3) })
    else throw new Error(`${word.toString(16)} is no instruction of this program`)
    if (calls.at(-1)?.number === 93) return calls
  }
  throw new Error('it does not end')
}

test('arm64: the program writes its text to standard output, and exits with 0', () => {
  const elf = elfThatPrints(TEXT, arm64)
  const [write, exit, ...others] = systemCallsOf(elf)
  const [descriptor, address = 0, size = 0] = write?.arguments ?? []
  assert.deepEqual([write?.number, descriptor], [64, 1])
  assert.equal(elf.toString('ascii', address - 0x400000, address - 0x400000 + size), TEXT)
  assert.deepEqual([exit?.number, exit?.arguments[0]], [93, 0])
  assert.deepEqual(others, [])
})
