/** Every measure, in the order of the table. A new one is a file beside this one and a line here. */
import { coldBlob } from './cold-blob.ts'
import { commands } from './commands.ts'
import { images } from './images.ts'
import { joined } from './joined.ts'
import { largeBlob } from './large-blob.ts'
import { manyImages } from './many-images.ts'
import type { Measure } from './measure.ts'
import { observed } from './observed.ts'
import { outage } from './outage.ts'
import { sizing } from './sizing.ts'
import { slowClients } from './slow-clients.ts'
import { smallAnswers } from './small-answers.ts'
import { start } from './start.ts'

export const measures: readonly Measure[] = [
  largeBlob,
  smallAnswers,
  observed,
  images,
  coldBlob,
  joined,
  slowClients,
  outage,
  start,
  manyImages,
  commands,
  sizing,
]
