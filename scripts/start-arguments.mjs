/** What `npm start` adds to the arguments it is given, so that a newcomer needs none. */

const commands = ['serve', 'load', 'list', 'prune', 'verify', 'version', 'help', 'h']
const commandsOnStore = ['serve', 'load', 'list', 'prune', 'verify']
const asksForHelp = ['--help', '-h', '--version']

/** @param {readonly string[]} args @returns {string[]} */
export function startArguments(args) {
  if (args.some((arg) => asksForHelp.includes(arg))) return [...args]
  const command = args.find((arg) => commands.includes(arg))
  const [first] = args
  if (command === undefined && first !== undefined && !first.startsWith('-')) return [...args]
  const complete = command === undefined ? ['serve', ...args] : [...args]
  if (command !== undefined && !commandsOnStore.includes(command)) return complete
  if (has(args, '--config-file')) return complete
  if (!has(args, '--image-path')) complete.push('--image-path', './images')
  if (!has(args, '--log-level')) complete.push('--log-level', 'info')
  return complete
}

/** With one dash or two. @param {readonly string[]} args @param {string} flag */
const has = (args, flag) => args.map((arg) => arg.replace(/^-(?=[a-z])/, '--')).some((arg) => arg === flag || arg.startsWith(`${flag}=`))
