/** Every measure, in the order of the table. A new one is a file beside this one and a line here. */
import { joined } from './joined.ts'
import { largeBlob } from './large-blob.ts'
import type { Measure } from './measure.ts'
import { smallAnswers } from './small-answers.ts'
import { start } from './start.ts'

export const measures: readonly Measure[] = [largeBlob, smallAnswers, joined, start]
