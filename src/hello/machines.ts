/** The two system calls of the built-in program, in the machine code of each architecture: write the text to standard output, exit with 0. */
import type { Machine } from './elf.ts'

/** x86-64: the number of a system call in eax, its arguments in edi, rsi, edx (System V ABI, AMD64 supplement, A.2.1). */
export const amd64: Machine = {
  elfMachine: 62,
  pageBytes: 0x1000,
  code(offset, sizeBytes) {
    const endOfLea = 5 + 7
    return Buffer.from([
      ...[0xbf, ...int32(1)], //                               mov edi, 1             standard output
      ...[0x48, 0x8d, 0x35, ...int32(offset - endOfLea)], //   lea rsi, [rip + text]
      ...[0xba, ...int32(sizeBytes)], //                       mov edx, size
      ...[0xb8, ...int32(1)], //                               mov eax, 1             write
      ...[0x0f, 0x05], //                                      syscall
      ...[0xbf, ...int32(0)], //                               mov edi, 0             success
      ...[0xb8, ...int32(60)], //                              mov eax, 60            exit
      ...[0x0f, 0x05], //                                      syscall
    ])
  },
}

/** AArch64: the number of a system call in x8, its arguments in x0, x1, x2; the numbers are those of Linux's generic table. */
export const arm64: Machine = {
  elfMachine: 183,
  pageBytes: 0x10000,
  code(offset, sizeBytes) {
    const words = [
      mov(0, 1), //                 mov x0, #1       standard output
      adr(1, offset - 4), //        adr x1, text     from this instruction, the second one
      mov(2, sizeBytes), //         mov x2, #size
      mov(8, 64), //                mov x8, #64      write
      SVC_0, //                     svc #0
      mov(0, 0), //                 mov x0, #0       success
      mov(8, 93), //                mov x8, #93      exit
      SVC_0, //                     svc #0
    ]
    return Buffer.from(words.flatMap(int32))
  },
}

const SVC_0 = 0xd4000001

/** MOVZ Xd, #imm16 (Arm ARM, C6.2 "MOVZ", 64-bit variant, no shift). */
function mov(register: number, value: number): number {
  return 0xd2800000 + value * 2 ** 5 + register
}

/** ADR Xd, label: 21 bits of distance, the lowest two apart from the others (Arm ARM, C6.2 "ADR"). */
function adr(register: number, distance: number): number {
  return 0x10000000 + (distance & 3) * 2 ** 29 + (distance >> 2) * 2 ** 5 + register
}

/** The four bytes of a number, lowest first. */
function int32(value: number): number[] {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24]
}
