import assert from 'node:assert/strict'
import { test } from 'node:test'
import { commands, findCommand } from '../../src/cli/commands.ts'
import { commandHelp, globalHelp } from '../../src/cli/help.ts'
import { FLAGS } from '../../src/config/flags.ts'
import { isAvailable } from '../../src/config/section.ts'

const ofServe = commandHelp(findCommand('serve'))

test('Help lists every command and its summary', () => {
  const help = globalHelp(commands)
  for (const { name, summary } of commands) assert.match(help, new RegExp(`^ {3}${name}.* ${summary}$`, 'm'))
})

for (const { flag, of } of FLAGS.filter(isAvailable)) {
  for (const command of of === 'global' ? ['serve' as const] : of) {
    const help = commandHelp(findCommand(command))
    test(`Help for ${command} lists ${flag}`, () => assert.match(help, new RegExp(`^ {3}${flag}[ =,]`, 'm')))
  }
}

for (const flag of FLAGS.filter((each) => !isAvailable(each))) {
  test(`Help does not promise ${flag.flag}, which does nothing yet`, () => assert.ok(!ofServe.includes(flag.flag)))
}

const lines: [sentence: string, line: string][] = [
  [
    'Help shows a default',
    '   --port NUMBER, -p                   The port to listen on; 0 on the command line: any free one. (default: 8080)',
  ],
  ['Help shows the words of a choice', '   --log-format text|json                 Lines for people, or JSON for programs. (default: text)'],
  [
    'Help shows how to switch off what is on',
    '   --prefetch=false                    Complete images in the background once their manifest was pulled. (default: true)',
  ],
  ['A switch that is off needs no default', '   --air-gapped                        Never ask a registry; wins over all that would.'],
  ['A default may be in words', '   --log-file PATH                        The file to append log lines to. (default: stderr)'],
  ['Help shows itself', '   --help, -h                             Show help.'],
  [
    'Help shows every name of a flag',
    '   --image-path PATH, --cache-dir, -d     The directory of the image store; created if it is missing. (default: /var/lib/ociregistry)',
  ],
]
for (const [sentence, line] of lines) test(sentence, () => assert.ok(ofServe.split('\n').includes(line), ofServe))
