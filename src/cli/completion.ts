import { Option } from 'commander';
import type { CommandSpec, OptionSpec } from './command-table.ts';

export type Shell = 'bash' | 'zsh' | 'fish';
export const SHELLS: readonly Shell[] = ['bash', 'zsh', 'fish'];

/** A script that completes commands, their options and file names; made from the same table as the help. */
export function completionScript(shell: Shell, commands: readonly CommandSpec[], shared: readonly OptionSpec[]): string {
  const flags = (c: CommandSpec) => [...c.options, ...shared].map((o) => ({ flag: new Option(o.flags).long as string, help: o.help }));
  const names = commands.map((c) => c.name);
  if (shell === 'fish') {
    const lines = commands.flatMap((c) => [
      `complete -c mendset -n __fish_use_subcommand -f -a ${c.name} -d ${quoted(c.summary)}`,
      ...flags(c).map(
        ({ flag, help }) => `complete -c mendset -n '__fish_seen_subcommand_from ${c.name}' -l ${flag.slice(2)} -d ${quoted(help)}`,
      ),
    ]);
    return `# mendset completion fish > ~/.config/fish/completions/mendset.fish\n${lines.join('\n')}\n`;
  }
  const cases = commands
    .map(
      (c) =>
        `    ${c.name}) words='${flags(c)
          .map((f) => f.flag)
          .join(' ')}' ;;`,
    )
    .join('\n');
  if (shell === 'bash') {
    return `# mendset completion bash > ~/.local/share/bash-completion/completions/mendset
_mendset() {
  local current=\${COMP_WORDS[COMP_CWORD]} words=''
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${names.join(' ')}' -- "$current"))
    return
  fi
  case \${COMP_WORDS[1]} in
${cases}
  esac
  case $current in
    -*) COMPREPLY=($(compgen -W "$words" -- "$current")) ;;
    *) COMPREPLY=() ;;
  esac
}
complete -o default -F _mendset mendset
`;
  }
  const described = commands.map((c) => `    ${quoted(`${c.name}:${c.summary}`)}`).join('\n');
  const options = commands
    .map(
      (c) =>
        `    ${c.name}) options=(${flags(c)
          .map(({ flag, help }) => quoted(`${flag}[${help.replaceAll(/[[\]]/g, '')}]`))
          .join(' ')}) ;;`,
    )
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

function quoted(text: string): string {
  return `'${text.replaceAll("'", '’')}'`;
}
