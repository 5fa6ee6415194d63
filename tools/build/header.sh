#!/bin/sh
# mqtt443 @VERSION@ for Linux on @MACHINE@, in one file: behind these lines are Deno @DENO@ and the program, compressed.
# install.sh unpacks them into @SYSTEM_DIR@, for all users. Where it did not, the first start unpacks them into a directory of
# its own: $MQTT443_RUNTIME_DIR, else $XDG_CACHE_HOME/mqtt443, else ~/.cache/mqtt443; later starts go straight there.
# Nothing is made or started where another user could put another program: each directory up to / is looked at.
# Every start checks sizes, owners and the program's digest; Deno's digest is checked once per boot, and at each start
# by systemd (which gives each an $INVOCATION_ID of its own): a restart mends what was damaged meanwhile.

# Only these variables pass: Deno reads many that widen what it may do, or change what it does. No value is looked into.
set -f
IFS='
'
for name in $(export -p); do
  name=${name#declare -x } name=${name#export } name=${name%%=*}
  case $name in
    PWD | @PASSED@ | '' | [0-9]* | *[!A-Za-z0-9_]*) ;;
    *) command unset "$name" 2>/dev/null ;;
  esac
done
unset IFS name
set +f

id='@ID@'
machine='@MACHINE@'
js_start=@JS_START@ js_packed=@JS_PACKED@ js_bytes=@JS_BYTES@ js_sum='@JS_SUM@'
deno_start=@DENO_START@ deno_bytes=@DENO_BYTES@ deno_sum='@DENO_SUM@'
all_bytes=@ALL_BYTES@
nl='
'

main() {
  PATH=${PATH:-/usr/bin:/bin}
  new= base2= base3= reasons= damaged=
  [ -z "${MQTT443_UNPACK-}" ] || unpack_only
  if [ -n "${MQTT443_RUNTIME_DIR-}" ]; then
    case $MQTT443_RUNTIME_DIR in
      /*) bases=1 base1=$MQTT443_RUNTIME_DIR ;;
      *) die "Cannot use MQTT443_RUNTIME_DIR: must be an absolute path: current value is \"$MQTT443_RUNTIME_DIR\"" \
        'for example: MQTT443_RUNTIME_DIR=/opt/mqtt443/runtime' ;;
    esac
  else
    bases=3 base1='@SYSTEM_DIR@'
    case ${XDG_CACHE_HOME-} in /*) base2=$XDG_CACHE_HOME/mqtt443 ;; esac
    case ${HOME-} in /?*) base3=$HOME/.cache/mqtt443 ;; esac
  fi
  find_runtime || make_runtime
  [ -n "$PWD" ] && pwd -P >/dev/null 2>&1 ||
    die 'Cannot start: the directory it is started in was removed' 'change to another one with cd'
  case $dir in
    # At which Deno would split the flag that forbids to write there.
    *,*) die "Cannot use $dir for the runtime: its path must hold no comma" \
      'name another directory: MQTT443_RUNTIME_DIR=/path' ;;
  esac
  export MQTT443_RUNTIME=npm DENO_DIR="$dir/cache" DENO_NO_UPDATE_CHECK=1 DENO_NO_PACKAGE_JSON=1 \
    DENO_DISABLE_NODE_SHIM=1
}

# error: and hint: as the program says them. $3: one line per problem, indented.
die() {
  clean_up
  printf 'error: %s\n%shint: %s\n' "$1" "${3-}" "$2" >&2
  exit 73
}

# Finds a runtime that is there, sound and ours; sets dir. Of those that are not, `damaged` and `reasons` tell.
find_runtime() {
  for base in "$base1" "$base2" "$base3"; do
    [ -n "$base" ] && [ -e "$base/$id" ] || continue
    look "$base"
    case $? in
      0) remove_leftovers && return ;;
      1)
        damaged=$dir
        [ "$bases$base" != "3$base1" ] || printf 'mqtt443: %s is damaged: install it again\n' "$dir" >&2
        ;;
      *) refuse "$why" ;;
    esac
  done
  return 1
}

# Remembers why a place will not do; the one that was named is not passed over.
refuse() {
  reasons="$reasons  $base: $1$nl"
  [ "$bases" = 3 ] || give_up
}

give_up() {
  [ -n "$reasons" ] || reasons="  neither HOME nor XDG_CACHE_HOME is set$nl"
  die 'Cannot unpack the runtime anywhere' \
    'name a directory of your own that has 100 MB free and may hold programs: MQTT443_RUNTIME_DIR=/path' "$reasons"
}

# Whether the runtime below $1 can be used: 0 yes, 1 damaged, 2 somebody else could change it, and why. Sets dir, which
# leads there without symbolic links. One process tells of all: in the order into which ls sorts the names.
look() {
  is_safe "$1" base || return 2
  dir=${here%/}/$id
  set -- $found
  is_ours "$dir" "${1-}" "${3-}" "${4-}" || return 2
  [ "${18-}" = "$id/mqtt443" ] && [ "${27-}" = "$id/mqtt443.js" ] || return 1
  is_ours "$dir/mqtt443" "${10}" "${12}" "${13}" && is_ours "$dir/mqtt443.js" "${19}" "${21}" "${22}" || return 2
  [ "${14}" = "$deno_bytes" ] && [ "${23}" = "$js_bytes" ] && [ -x "$dir/mqtt443" ] && is_checked
}

# Whether nobody but us and root can put another thing below $1, a directory: it and all above it, where they really are.
# $2: `base`, or `above` where more are to be made below it. Sets here, its real name, and found, what ls says of a
# runtime there.
is_safe() {
  found=$({
    unset LS_BLOCK_SIZE BLOCK_SIZE BLOCKSIZE TIME_STYLE QUOTING_STYLE
    cd -P "$1" || exit
    # Names without spaces; a real path has no two slashes behind its first.
    printf '%s\n//\n' "$PWD"
    at=$PWD up=..
    set -- .
    while [ -n "$at" ]; do
      set -- "$@" "$up"
      up=../$up at=${at%/*}
    done
    LC_ALL=C exec ls -lnd "$@" "$id" "$id/mqtt443" "$id/mqtt443.js"
  } 2>/dev/null </dev/null)
  here=${found%%"$nl//$nl"*}
  at=$here/ up=. kind=$2 why="$1 cannot be looked at"
  [ "$here" != "$found" ] || return 1
  set -- ${found#*"$nl//$nl"}
  while [ -n "$at" ]; do
    at=${at%/*}
    [ "${9-}" = "$up" ] || {
      why="${at:-/} cannot be looked at"
      return 1
    }
    is_ours "${at:-/}" "$1" "$3" "$4" "$kind" || return 1
    case $up in .) up=.. ;; *) up=../$up ;; esac
    kind=above
    shift 9
  done
  found=$*
}

# Whether nobody but us and root can put another thing at $1, of mode $2, owner $3 and group $4. In a directory like /tmp
# others cannot replace what is ours. Above a base, our group may write: it is often the user's own.
is_ours() {
  case ${5-}:$2 in
    *:[-d]????[!w]??[!w]* | base:d????????[tT]* | above:d????????[tT]*) ;;
    above:d???????[!w]*)
      [ "$4" = 0 ] || [ -G "$1" ] || {
        why="group number $4 can write to $1: \`chmod g-w $1\` ends that"
        return 1
      }
      ;;
    *)
      case $2 in
        '') why="$1 cannot be looked at" ;;
        l*) why="$1 is a symbolic link" ;;
        *) why="others can write to $1: \`chmod go-w $1\` ends that" ;;
      esac
      return 1
      ;;
  esac
  [ "$3" = 0 ] || [ -O "$1" ] || {
    why="$1 belongs to another user, number $3"
    return 1
  }
}

# The program's digest, and Deno's where nobody wrote down that it was checked in this boot, by this start of systemd's or
# any at all; where that cannot be written down, only systemd's starts check it.
is_checked() {
  [ "$(sha256sum 2>/dev/null <"$dir/mqtt443.js")" = "$js_sum  -" ] || return 1
  read_start
  seen=
  { IFS= read -r seen <"$dir/checked"; } 2>/dev/null
  case $seen in "$start"*) return 0 ;; esac
  { echo >"$dir/checked"; } 2>/dev/null || [ -n "${INVOCATION_ID-}" ] || return 0
  is_sound "$dir" || return 1
  { echo "$start" >"$dir/checked"; } 2>/dev/null || return 0
}

# Which boot this is, and which start by systemd; by hand there is none.
read_start() {
  boot=
  { read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
  start=$boot/${INVOCATION_ID-}
}

is_sound() {
  (cd "$1" && [ "$(sha256sum mqtt443 mqtt443.js 2>/dev/null)" = "$deno_sum  mqtt443$nl$js_sum  mqtt443.js" ])
}

# Unpacks into the first place that will do; sets dir.
make_runtime() {
  [ "$all_bytes" != 0 ] || die "Cannot start: $base1/$id is missing or damaged" \
    'install the package again: sudo dpkg -i mqtt443*.deb; `dpkg --verify mqtt443` tells what is damaged'
  find_self
  mask=$(umask)
  umask 077
  for signal in HUP INT TERM; do
    trap "clean_up; trap - $signal; kill -$signal $$" $signal
  done
  # The directory for all users is install.sh's to make.
  [ "$bases" = 1 ] || base1=
  for base in "$base1" "$base2" "$base3"; do
    [ -n "$base" ] || continue
    case $reasons in *"  $base: "*) continue ;; esac
    if unpack; then
      trap - HUP INT TERM
      umask "$mask"
      return
    fi
    clean_up
    refuse "$why"
  done
  give_up
}

clean_up() {
  [ -z "$new" ] || rm -rf "$new"
}

# Where this file is; it must be whole.
find_self() {
  case $0 in
    /*) self=$0 ;;
    */*) self=$PWD/$0 ;;
    *) if [ -f "./$0" ]; then self=$PWD/$0; else self=$(command -v "$0"); fi ;;
  esac
  link=$(readlink -f "$self" 2>/dev/null) && self=$link
  has=$({ wc -c <"$self"; } 2>/dev/null)
  [ "$((${has:-0} + 0))" = "$all_bytes" ] || broken "it has ${has:-no} bytes of $all_bytes"
  for tool in tail head gzip sha256sum; do
    command -v "$tool" >/dev/null || die "Cannot unpack $self: the program $tool is missing" \
      'install coreutils and gzip, or BusyBox'
  done
}

broken() {
  die "Cannot unpack $self: this executable is damaged: $1" 'copy it here again, and compare its sha256'
}

# Unpacks below base, and says why it could not.
unpack() {
  # Nothing is made before all above it was looked at, and then by the real name.
  near=$base made=$base
  until [ -d "$near/" ]; do near=${near%/*}; done
  if [ "$near" != "$base" ]; then
    is_safe "${near:-/}" above || return 1
    made=${here%/}${base#"$near"}
    why=$(LC_ALL=C mkdir -p "$made" 2>&1) || {
      why="it cannot be made: ${why##*: }"
      return 1
    }
  fi
  is_safe "$made" base || return 1
  dir=${here%/}/$id
  remove_leftovers
  if [ "$damaged" = "$dir" ]; then
    # Another start may have mended it meanwhile.
    look "$here" && return
    printf 'mqtt443: %s is damaged: it is unpacked again\n' "$dir" >&2
    new=${here%/}/.new-$$-damaged
    mv "$dir" "$new" 2>/dev/null
    rm -rf "$new"
  fi
  salt=
  { read -r salt </proc/sys/kernel/random/uuid; } 2>/dev/null
  new=${here%/}/.new-$$-$salt
  why=$(LC_ALL=C mkdir "$new" 2>&1) || {
    why="it cannot be written: ${why##*: }"
    new=
    return 1
  }
  extract "$new" || return 1
  is_startable || return 1
  read_start
  { printf '%s\n' "$self" >"$new/from" && printf '%s\n' "$start" >"$new/checked"; } 2>/dev/null
  { sync "$new/mqtt443" "$new/mqtt443.js" || sync; } 2>/dev/null
  # Another start may have been faster: a directory that is there already gets ours inside.
  [ -e "$dir" ] || mv "$new" "$dir" 2>/dev/null
  rm -rf "$new" "$dir/${new##*/}"
  new=
  [ -e "$dir" ] || {
    why='it cannot be written'
    return 1
  }
  look "$here" || return 1
  remove_former
}

# For install.sh: unpacks into a directory, starts nothing, and says by what name it must be called.
unpack_only() {
  find_self
  base=$MQTT443_UNPACK
  extract "$base" || die "Cannot unpack into $base: $why" 'see to that, and try again'
  printf '%s\n' "$id"
  exit
}

# Unpacks into the directory $1, and says why it could not.
extract() {
  # tail may be told that nobody reads on.
  { tail -c +"$js_start" "$self" 2>/dev/null | head -c "$js_packed" | gzip -dc >"$1/mqtt443.js" &&
    tail -c +"$deno_start" "$self" | gzip -dc >"$1/mqtt443" &&
    chmod +x "$1/mqtt443"; } 2>/dev/null || {
    tail -c +"$deno_start" "$self" 2>/dev/null | gzip -t 2>/dev/null || broken 'its content does not unpack'
    why="it cannot take $((deno_bytes / 1000000)) MB: is it full? \`df -h $base\` shows"
    return 1
  }
  is_sound "$1" || broken 'its content has the wrong digest'
}

# What was left by a start that was killed; its name has the process.
remove_leftovers() {
  for old in "$here"/.new-*; do
    pid=${old##*/.new-}
    pid=${pid%%-*}
    [ -O "$old" ] && [ ! -d "/proc/$pid" ] && ! kill -0 "$pid" 2>/dev/null && rm -rf "$old" 2>/dev/null
  done
  return 0
}

# What an earlier version of this same file unpacked.
remove_former() {
  for old in "$here"/mqtt443-*; do
    from=
    { IFS= read -r from <"$old/from"; } 2>/dev/null
    [ "$from" = "$self" ] && [ "$old" != "$dir" ] && [ -O "$old" ] && rm -rf "$old"
  done
  return 0
}

# Starts Deno once. Where it is for another machine, some shells take it for a script: nothing is found in that PATH.
is_startable() {
  why=$(cd "$new" && PATH=/dev/null LC_ALL=C DENO_NO_UPDATE_CHECK=1 ./mqtt443 --version 2>&1 >/dev/null </dev/null)
  code=$?
  [ "$code" != 0 ] || return 0
  here=$(uname -m)
  hint='`mqtt443` needs Linux with glibc 2.27 or newer, on x86_64 or 64-bit ARM'
  said=${why%%"$nl"*}
  [ "$here" = "$machine" ] || stop "this executable is for $machine, and this machine is $here"
  case $why in
    *GLIBC*) stop "the C library of this system is too old: $said" ;;
    *'shared librar'*) stop "a library is missing: $said" ;;
    *ermission*) why="programs in it may not be started: is it mounted noexec?" && return 1 ;;
    *'not found'* | *'No such file'*) stop 'this system has no 64-bit glibc, and Deno exists for no other C library (no musl)' ;;
  esac
  stop "Deno ended with code $code: $said"
}

stop() {
  die "Cannot start here: $1" "$hint"
}

main
export @MALLOC@
exec "$dir/mqtt443" run @FLAGS@ --deny-write="$dir" "$dir/mqtt443.js" "$@"
exit 127
