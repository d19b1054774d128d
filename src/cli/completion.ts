import { Option } from 'commander';
import type { CommandSpec, OptionSpec } from './command-table.ts';

export type Shell = 'bash' | 'zsh' | 'fish';
export const SHELLS: readonly Shell[] = ['bash', 'zsh', 'fish'];

interface Flag {
  readonly flag: string;
  readonly help: string;
  readonly takesValue: boolean;
  readonly values: readonly string[];
}

/** A script that completes commands, their options, the words that options may have, and file names; made from the same table as the help. */
export function completionScript(shell: Shell, commands: readonly CommandSpec[], shared: readonly OptionSpec[]): string {
  const flags = (c: CommandSpec) =>
    [...c.options, ...shared].map(
      (o): Flag => ({
        flag: new Option(o.flags).long as string,
        help: o.help,
        takesValue: o.flags.includes('<'),
        values: o.values ?? [],
      }),
    );
  if (shell === 'fish') return fishScript(commands, flags);
  return shell === 'bash' ? bashScript(commands, flags) : zshScript(commands, flags);
}

type FlagsOf = (command: CommandSpec) => readonly Flag[];

function bashScript(commands: readonly CommandSpec[], flags: FlagsOf): string {
  const values = commands.flatMap((c) =>
    flags(c)
      .filter((f) => f.values.length > 0)
      .map((f) => `    '${c.name} ${f.flag}') words='${f.values.join(' ')}' ;;`),
  );
  const files = [...new Set(commands.flatMap((c) => flags(c).filter((f) => f.takesValue && f.values.length === 0)).map((f) => f.flag))];
  const options = commands.map((c) => {
    const own = flags(c).map((f) => f.flag);
    const argument = c.argument?.values ? ` first='${c.argument.values.join(' ')}'` : '';
    return `    ${c.name}) words='${own.join(' ')}'${argument} ;;`;
  });
  return `# mendset completion bash > ~/.local/share/bash-completion/completions/mendset
_mendset() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} words='' first=''
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${commands.map((c) => c.name).join(' ')}' -- "$current"))
    return
  fi
  # words after an option that has a closed set of them
  case "\${COMP_WORDS[1]} $previous" in
${values.join('\n')}
  esac
  if [ -n "$words" ]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    return
  fi
  # any other value: a file, by the shell itself
  case $previous in
    ${files.join('|')}) return ;;
  esac
  case \${COMP_WORDS[1]} in
${options.join('\n')}
  esac
  case $current in
    -*) COMPREPLY=($(compgen -W "$words" -- "$current")) ;;
    *) [ "$COMP_CWORD" -eq 2 ] && COMPREPLY=($(compgen -W "$first" -- "$current")) ;;
  esac
}
complete -o default -F _mendset mendset
`;
}

function zshScript(commands: readonly CommandSpec[], flags: FlagsOf): string {
  const described = commands.map((c) => `    ${quoted(`${c.name}:${c.summary}`)}`).join('\n');
  const option = ({ flag, help, takesValue, values }: Flag) => {
    const action = !takesValue ? '' : values.length > 0 ? `:value:(${values.join(' ')})` : ':value:_files';
    return quoted(`${flag}[${help.replaceAll(/[[\]]/g, '').replaceAll(':', '\\:')}]${action}`);
  };
  const options = commands
    .map((c) => {
      const argument = c.argument?.values ? ` ${quoted(`2:${c.argument.name}:(${c.argument.values.join(' ')})`)}` : '';
      return `    ${c.name}) options=(${flags(c).map(option).join(' ')}${argument}) ;;`;
    })
    .join('\n');
  return `#compdef mendset
# mendset completion zsh > a file named _mendset in a folder of $fpath
_mendset() {
  local -a commands options
  commands=(
${described}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  case $words[2] in
${options}
  esac
  _arguments -s $options '*:file:_files'
}
compdef _mendset mendset
`;
}

function fishScript(commands: readonly CommandSpec[], flags: FlagsOf): string {
  const lines = commands.flatMap((c) => {
    const seen = `complete -c mendset -n '__fish_seen_subcommand_from ${c.name}'`;
    const argument = c.argument?.values ? [`${seen} -f -a ${quoted(c.argument.values.join(' '))} -d ${quoted(c.argument.help)}`] : [];
    return [
      `complete -c mendset -n __fish_use_subcommand -f -a ${c.name} -d ${quoted(c.summary)}`,
      ...argument,
      ...flags(c).map(({ flag, help, takesValue, values }) => {
        const action = !takesValue ? '' : values.length > 0 ? ` -x -a ${quoted(values.join(' '))}` : ' -r';
        return `${seen} -l ${flag.slice(2)}${action} -d ${quoted(help)}`;
      }),
    ];
  });
  return `# mendset completion fish > ~/.config/fish/completions/mendset.fish\n${lines.join('\n')}\n`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", '’')}'`;
}
