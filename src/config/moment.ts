/** A moment as people type it and `list` prints it: local wall time, without a zone. */
import { scalarType } from './value-types.ts'

/** In ms since 1970. */
export const moment = scalarType({
  want: 'a local time such as 2026-11-30T18:05:00',
  placeholder: 'YYYY-MM-DDTHH:MM:SS',
  parse: ({ text }) => parseMoment(text),
})

function parseMoment(text: string): number | undefined {
  const [, year, month, day, hours, minutes, seconds] = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)$/.exec(text)?.map(Number) ?? []
  if (year === undefined || month === undefined || day === undefined || hours === undefined) return undefined
  const date = new Date(year, month - 1, day, hours, minutes, seconds)
  // 2026-02-30 is no day, and Date would make another one of it
  const isThatDay = date.getFullYear() === year && date.getMonth() === month - 1 && date.getDate() === day
  return isThatDay && hours < 24 && (minutes ?? 0) < 60 && (seconds ?? 0) < 60 ? date.getTime() : undefined
}
