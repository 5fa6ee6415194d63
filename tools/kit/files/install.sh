#!/bin/sh
# Installs, upgrades or removes mqtt443 where there is no dpkg; `sh install.sh --help` says how. For any POSIX
# shell, with the tools of BusyBox. FILES says what goes where, certs.sh sees to the device's files. It checks
# everything first, copies each file beside its place, and then renames: it can be interrupted anywhere, and run
# again. Settings, certificates and the queue are never touched. Below --root no link is followed out of it.
set -u
umask 022
export LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

VERSION='@VERSION@'
ARCH='@ARCH@'
# npm: the executable brings Deno along, which is unpacked for all users. denort: it is one program.
RUNTIME='@RUNTIME@'

BIN=/usr/local/bin/mqtt443
LIB=/usr/local/lib/mqtt443
CONFIG=/etc/mqtt443
STATE=/var/lib/mqtt443
UNITS=/etc/systemd/system
OWNER=mqtt443
DOC=/usr/local/share/doc/mqtt443
SHARE=/usr/local/share/mqtt443

nl='
'
USAGE_ERROR=64 KIT_ERROR=65 SERVICE_ERROR=69 WRITE_ERROR=73 RIGHTS_ERROR=77 SETTINGS_ERROR=78

help() {
  cat <<END
Installs mqtt443 $VERSION for $ARCH, or upgrades it: settings, certificates and queue stay.

Usage: sh install.sh [--certs DIR] [--root DIR] [--dry-run] [--no-service]
       sh install.sh --uninstall [--purge] [--root DIR] [--dry-run]

  --certs DIR   take certificate, key and CA from there, by the names that AWS gives them
  --root DIR    install below DIR, for an image of any architecture; starts nothing
  --dry-run     say what would be done, and change nothing
  --no-service  leave systemd alone: no unit, no restart
  --uninstall   remove it; settings, certificates and queue stay
  --purge       with --uninstall: remove those too

Places: $BIN, $LIB, $CONFIG,
$STATE, $UNITS, $DOC; user $OWNER

Exit codes: 0 done, $USAGE_ERROR wrong command line, $KIT_ERROR damaged kit or wrong machine,
  $SERVICE_ERROR installed but the service does not start, $WRITE_ERROR cannot write, $RIGHTS_ERROR not root,
  $SETTINGS_ERROR settings or certificate files are wrong
END
}

# --- words ---------------------------------------------------------------------------------------------

say() { printf '%s\n' "$*"; }

# die CODE ERROR HINT
die() {
  printf 'error: %s\nhint: %s\n' "$2" "$3" >&2
  exit "$1"
}

# cannot_write PLACE WHAT_THE_TOOL_SAID: the reason is what stands behind the last colon.
cannot_write() {
  reason=$(printf '%s\n' "$2" | tail -n 1)
  reason=${reason##*: }
  case $reason in
    *"No space left"* | *"quota exceeded"*) hint='make room there, and run install.sh again' ;;
    *"Read-only"*) hint='mount it writable (mount -o remount,rw), or build an image with --root DIR' ;;
    *"denied"* | *"not permitted"*) hint='run it as root: sudo sh install.sh' ;;
    *) hint='see to that, and run install.sh again' ;;
  esac
  die "$WRITE_ERROR" "Cannot write \"$1\": ${reason:-it failed}; nothing was installed" "$hint"
}

# --- the command line ----------------------------------------------------------------------------------

with_root='' root='' certs='' dry='' uninstall='' purge='' service=yes
while [ $# -gt 0 ]; do
  case $1 in
    --root | --certs)
      [ $# -gt 1 ] || set -- "$1" ''
      option=$1
      shift
      set -- "$option=$@"
      continue
      ;;
    --help | -h) help && exit 0 ;;
    --dry-run) dry=yes ;;
    --no-service) service='' ;;
    --uninstall) uninstall=yes ;;
    --purge) purge=yes ;;
    --root=*) with_root=yes root=${1#*=} ;;
    --certs=*) certs=${1#*=} && [ -d "$certs" ] ||
      die "$USAGE_ERROR" "Cannot use --certs \"$certs\": there is no such folder" "pass --certs DIR" ;;
    *) die "$USAGE_ERROR" "Cannot understand \"$1\"" "sh install.sh --help lists what there is" ;;
  esac
  shift
done
[ -z "$purge" ] || [ -n "$uninstall" ] ||
  die "$USAGE_ERROR" "Cannot use --purge alone: it removes settings, certificates and queue" \
    "pass --uninstall --purge, or leave it out"

live=yes
if [ -n "$with_root" ]; then
  given=$root
  root=$([ -n "$given" ] && CDPATH='' cd -- "$given" 2>/dev/null && pwd -P) ||
    die "$USAGE_ERROR" "Cannot use --root \"$given\": there is no such folder" \
      "pass --root DIR, and make it first"
  if [ "$root" = / ]; then root=''; else live=''; fi
fi

# In an image, a link may lead out of it, onto the machine that builds it.
check_inside() {
  place=$1
  while [ ! -d "$root$place" ] && [ ! -L "$root$place" ]; do place=${place%/*}; done
  real=$(CDPATH='' cd -P -- "$root$place/" 2>/dev/null && pwd -P)
  case $real/ in "$root"/*) return 0 ;; esac
  die "$WRITE_ERROR" "Cannot use \"$root$place\": it leads to ${real:-nothing}, not below \"$root\"" \
    "make each link in the image a relative one, and run install.sh again"
}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P) || exit "$KIT_ERROR"
[ -f "$here/FILES" ] || die "$KIT_ERROR" "Cannot install: there is no FILES beside install.sh" \
  "unpack the whole archive, and start install.sh from where it was unpacked"
if [ -z "$live" ]; then
  for place in /etc "$CONFIG/certs" "$STATE" "$UNITS/multi-user.target.wants" "${BIN%/*}" "$LIB" \
    $(sed 's/.* //; s|/[^/]*$||' "$here/FILES" | sort -u); do
    check_inside "$place"
  done
  for file in passwd group shadow gshadow; do
    [ ! -L "$root/etc/$file" ] ||
      die "$WRITE_ERROR" "Cannot use \"$root/etc/$file\": it is a link" "put the file itself there"
  done
fi

has_systemd() { [ -n "$live" ] && [ -d /run/systemd/system ] && command -v systemctl >/dev/null; }
[ -z "$live" ] || [ -n "$dry" ] || [ "$(id -u)" = 0 ] ||
  die "$RIGHTS_ERROR" "Cannot install as user $(id -u): it takes root" \
    "sudo sh install.sh, or --root DIR to install below a folder of yours"

# --- the user that the service runs as -----------------------------------------------------------------

has_user() { { [ -z "$live" ] || getent passwd "$OWNER"; cat -- "$root/etc/passwd"; } 2>/dev/null | grep -q "^$OWNER:"; }

# make_user: a user for the service alone, without password, shell and home.
make_user() {
  if has_user; then return 0; fi
  if [ -n "$dry" ]; then say "would make user $OWNER"; return 0; fi
  [ ! -f "$root/etc/passwd" ] || systemd-sysusers ${root:+"--root=$root"} - <"$here/mqtt443.sysusers" >/dev/null 2>&1 || [ -z "$live" ] || {
    useradd --system --user-group --no-create-home --home-dir "$STATE" --shell /bin/false "$OWNER" ||
      useradd --system --gid="$OWNER" --no-create-home --home-dir "$STATE" --shell /bin/false "$OWNER" ||
      adduser -S -D -H -h "$STATE" -s /bin/false -g "$OWNER" "$OWNER"
  } >/dev/null 2>&1
  if has_user; then say "made user $OWNER"; else say "made no user: the system needs a user and group $OWNER"; fi
}

# --- removing ------------------------------------------------------------------------------------------

# remove WHAT PATH: a link alone, and not where it leads.
remove() {
  [ -e "$root$2" ] || [ -L "$root$2" ] || return 0
  if [ -n "$dry" ]; then say "would remove $1 $root$2"; return 0; fi
  target=''
  [ ! -L "$root$2" ] || target=$(readlink -f -- "$root$2")
  out=$(rm -rf -- "$root$2" 2>&1) ||
    die "$WRITE_ERROR" "Cannot remove \"$root$2\": ${out##*: }" "see to that, and run it again"
  if [ -z "$target" ]; then say "removed $1 $root$2"; return 0; fi
  say "removed the link $root$2; left $1 $target, where it led"
}

# remove_user: with the tools of this system, or by hand where it is an image.
remove_user() {
  if [ -n "$dry" ]; then say "would remove user $OWNER"; return 0; fi
  if [ -z "$live" ] || ! { userdel "$OWNER" || deluser "$OWNER"; } >/dev/null 2>&1; then
    for file in passwd group shadow gshadow; do
      [ ! -f "$root/etc/$file" ] || {
        rm -f -- "$root/etc/$file.mqtt443" && cp -p -- "$root/etc/$file" "$root/etc/$file.mqtt443" &&
          sed "/^$OWNER:/d" "$root/etc/$file" >"$root/etc/$file.mqtt443" &&
          mv -f -- "$root/etc/$file.mqtt443" "$root/etc/$file"
      } || die "$WRITE_ERROR" "Cannot write \"$root/etc/$file\"" "see to that, and run it again"
    done
  fi
  say "removed user $OWNER"
}

do_uninstall() {
  if has_systemd && [ -e "$UNITS/mqtt443.service" ] && [ -n "$service" ]; then
    if [ -n "$dry" ]; then
      say "would stop and disable the service"
    else
      out=$(systemctl disable --now $(cd "$UNITS" && ls mqtt443.service mqtt443.socket 2>/dev/null) 2>&1) ||
        die "$SERVICE_ERROR" "Cannot stop the service: ${out##*"$nl"}; nothing was removed" \
          "systemctl status mqtt443 tells more; --no-service removes the rest all the same"
      systemctl stop mqtt443-wait.target >/dev/null 2>&1 || :
      say "stopped and disabled the service"
    fi
  fi
  remove executable "$BIN"
  remove 'unfinished copy' "${BIN%/*}/.${BIN##*/}.new"
  remove 'unpacked runtime' "$LIB"
  # Where mqtt443.socket was; the service alone has taken it away when it stopped.
  [ -z "$live" ] || [ -z "$service" ] || remove 'folder of the socket' /run/mqtt443
  units=''
  while read -r name dest; do
    case $name in
      *.service | *.socket | *.target)
        [ -n "$service" ] || continue
        units="$units $dest"
        remove link "$UNITS/multi-user.target.wants/$name"
        remove link "$UNITS/sockets.target.wants/$name"
        remove 'unit of before' "$dest.old"
        ;;
    esac
    remove file "$dest"
  done <"$here/FILES"
  if [ -z "$dry" ] && [ -n "$units" ] && has_systemd; then systemctl daemon-reload; fi
  remove documents "$DOC"
  remove folder "$SHARE"
  if [ -n "$purge" ]; then
    remove 'settings and certificates' "$CONFIG"
    remove queue "$STATE"
    if has_user; then remove_user; fi
    [ ! -d "$root$UNITS/mqtt443.service.d" ] ||
      say "left $root$UNITS/mqtt443.service.d: changes made with systemctl edit"
  else
    for place in "$CONFIG" "$STATE"; do
      [ ! -e "$root$place" ] || say "left $root$place (--purge removes it)"
    done
    if has_user; then say "left user $OWNER (--purge removes it)"; fi
  fi
}

if [ -n "$uninstall" ]; then
  do_uninstall
  exit 0
fi

# --- is it whole, and for this machine? ----------------------------------------------------------------

command -v sha256sum >/dev/null ||
  die "$KIT_ERROR" "Cannot check the kit: there is no sha256sum here" "install coreutils or BusyBox"
[ -f "$here/SHA256SUMS" ] ||
  die "$KIT_ERROR" "Cannot check the kit: there is no SHA256SUMS beside install.sh" \
    "unpack the whole archive, and start install.sh from where it was unpacked"
sums=$(cd -- "$here" && sha256sum -c SHA256SUMS 2>/dev/null) || {
  bad=$(printf '%s\n' "$sums" | sed -n 's/: FAILED.*//p' | tr '\n' ' ')
  die "$KIT_ERROR" "Cannot use this kit: damaged or missing: ${bad:-some files}" \
    "copy the archive again, compare its sha256sum with that where it was made, and unpack it anew"
}

if [ -n "$live" ]; then
  case $(dpkg-query -W -f '${Status};' mqtt443 mqtt443-site 2>/dev/null) in
    *' installed;'*) die "$USAGE_ERROR" "Cannot install: the package mqtt443 is installed here" \
      "upgrade it with its .deb: sudo dpkg -i mqtt443_$VERSION*.deb" ;;
  esac
  machine=$(uname -m)
  [ "$machine" != aarch64 ] || machine=arm64
  [ "$machine" = "$ARCH" ] ||
    die "$KIT_ERROR" "Cannot install: this kit is for $ARCH, and this machine is $machine" \
      "take mqtt443-$VERSION-linux-$machine.tar.gz, if there is one; --root DIR installs into an image"
  loader=/lib64/ld-linux-x86-64.so.2
  [ "$ARCH" = x86_64 ] || loader=/lib/ld-linux-aarch64.so.1
  [ -e "$loader" ] ||
    die "$KIT_ERROR" "Cannot install: the executable needs $loader, which is glibc's of $ARCH" \
      "use a 64-bit system with glibc (Debian, Ubuntu, Yocto …); musl and 32-bit systems cannot run it"
fi

[ -z "$certs" ] || sh "$here/certs.sh" --root "$root" --check "$certs" || exit

# --- copying: first beside the places, then all renamed -----------------------------------------------

staged='' made_folders='' unpacked='' is_done=''
clean_up() {
  [ -z "$is_done" ] || return 0
  for dest in $staged; do rm -f -- "$root${dest%/*}/.${dest##*/}.new"; done
  [ -z "$unpacked" ] || rm -rf -- "$unpacked"
  for folder in $made_folders; do rmdir -- "$root$folder" 2>/dev/null; done
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# folder PATH MODE: makes it, and what is above it; one that is there keeps its mode.
folder() {
  if [ -d "$root$1" ]; then return 0; fi
  if [ -n "$dry" ]; then say "would make folder $root$1 (mode $2)"; return 0; fi
  case ${1%/*} in '') ;; *) folder "${1%/*}" 755 ;; esac
  out=$(mkdir -m "$2" -- "$root$1" 2>&1) || [ -d "$root$1" ] || cannot_write "$root$1" "$out"
  made_folders="$1 $made_folders"
  say "made folder $root$1 (mode $2)"
}

# stage FILE DEST MODE: copies a file beside its place; where it is there already, only the mode is seen to.
stage() {
  if [ -f "$root$2" ] && [ ! -L "$root$2" ] && cmp -s -- "$1" "$root$2"; then
    [ -n "$dry" ] || chmod "$3" -- "$root$2" 2>/dev/null
    return 0
  fi
  [ ! -d "$root$2" ] || die "$WRITE_ERROR" "Cannot write \"$root$2\": it is a folder" "move it out of the way"
  if [ -n "$dry" ]; then say "would install $root$2"; return 0; fi
  folder "${2%/*}" 755
  new="$root${2%/*}/.${2##*/}.new"
  staged="$staged $2"
  out=$({ rm -f -- "$new" && install -m "$3" -- "$1" "$new"; } 2>&1) || cannot_write "$root$2" "$out"
}

# unpack: what the executable brings along, beside its place; sets runtime to the name it will have there.
unpack() {
  unpacked=$root$LIB/.new
  if [ -n "$dry" ]; then say "would unpack into $root$LIB"; return 0; fi
  folder "$LIB" 755
  out=$({ rm -rf -- "$unpacked" && mkdir -- "$unpacked" "$unpacked/x"; } 2>&1) ||
    cannot_write "$root$LIB" "$out"
  out=$(MQTT443_UNPACK=$unpacked/x sh "$here/mqtt443" 2>&1) || cannot_write "$root$LIB" "${out%"$nl"*}"
  runtime=$out
  if cmp -s -- "$unpacked/x/mqtt443" "$root$LIB/$runtime/mqtt443" &&
    cmp -s -- "$unpacked/x/mqtt443.js" "$root$LIB/$runtime/mqtt443.js"; then
    rm -rf -- "$unpacked"
    unpacked=''
  else
    mv -- "$unpacked/x" "$unpacked/$runtime"
  fi
}

# An executable for another endpoint refuses these settings: that is told before it replaces one that does not.
check_settings() {
  [ -n "$live" ] && [ -z "$dry" ] && [ -f "$CONFIG/mqtt443.json" ] || return 0
  place=$LIB
  [ -z "$unpacked" ] || place=$unpacked
  said=$(MQTT443_RUNTIME_DIR=$place NO_COLOR=1 sh "$here/mqtt443" doctor --offline --durability none \
    --config "$CONFIG/mqtt443.json" 2>/dev/null | tr -s '\n ' ' ')
  case $said in *'was not granted'*) ;; *) return 0 ;; esac
  said=${said#*fail }
  said=${said%%was not granted*}
  die "$SETTINGS_ERROR" "Cannot install: this executable refuses $CONFIG/mqtt443.json: ${said#* }was not granted" \
    "take the kit that was built for these settings; or change the settings, and run install.sh again"
}

before=''
[ ! -f "$root$DOC/VERSION" ] || [ -L "$root$DOC/VERSION" ] || before=$(cat -- "$root$DOC/VERSION")
is_upgrade=''
[ ! -e "$root$BIN" ] || is_upgrade=yes

folder "$CONFIG" 755
# Root writes into it: it must not be the service's to put links there.
if has_user && [ -n "$(find "$root$CONFIG" -prune ! -user 0 -print 2>/dev/null)" ] && [ "$(id -u)" = 0 ]; then
  if [ -n "$dry" ]; then
    say "would make root the owner of $root$CONFIG"
  elif chown -h 0 "$root$CONFIG" 2>/dev/null; then
    say "made root the owner of $root$CONFIG"
  fi
fi
folder "$CONFIG/certs" 750
folder "$STATE" 700
runtime=''
[ "$RUNTIME" != npm ] || unpack
check_settings
# A kit for one site brings its settings, for a machine that has none.
if [ -f "$here/mqtt443.json" ]; then
  if [ ! -e "$root$CONFIG/mqtt443.json" ]; then
    stage "$here/mqtt443.json" "$CONFIG/mqtt443.json" 644
  elif ! cmp -s -- "$here/mqtt443.json" "$root$CONFIG/mqtt443.json"; then
    say "left $root$CONFIG/mqtt443.json, though this executable was built for $here/mqtt443.json: compare them"
  fi
fi
with_unit=''
if [ -n "$service" ] && { [ -z "$live" ] || has_systemd; }; then with_unit=yes; fi
while read -r name dest; do
  case $name in
    *.service | *.socket | *.target)
      [ -n "$with_unit" ] || continue
      if [ -f "$root$dest" ] && [ ! -L "$root$dest" ] && ! cmp -s -- "$here/$name" "$root$dest"; then
        say "keeping the unit of before as $root$dest.old (changes belong into $name.d/*.conf)"
        stage "$root$dest" "$dest.old" 644
      fi
      ;;
  esac
  stage "$here/$name" "$dest" 644
done <"$here/FILES"
stage "$here/mqtt443" "$BIN" 755

make_user
if [ -n "$dry" ]; then
  say "nothing was changed"
  is_done=yes
  exit 0
fi

# After a power cut there is the old file or the new one, and no empty one.
[ -z "$live" ] || sync
is_done=yes
# finish FROM TO
finish() {
  out=$(mv -f -- "$root$1" "$root$2" 2>&1) ||
    die "$WRITE_ERROR" "Cannot write \"$root$2\": ${out##*: }" "see to that, and run install.sh again to finish"
  say "installed $root$2"
}
if [ -n "$unpacked" ]; then
  rm -rf -- "$root$LIB/$runtime"
  finish "$LIB/.new/$runtime" "$LIB/$runtime"
fi
for dest in $staged; do finish "${dest%/*}/.${dest##*/}.new" "$dest"; done

sh "$here/certs.sh" --root "$root" ${certs:+"$certs"} || exit

# --- the service ---------------------------------------------------------------------------------------

now=$(cat -- "$here/VERSION")
what="installed mqtt443 $now"
[ -z "$is_upgrade" ] || what="upgraded mqtt443 from ${before:-an earlier version} to $now"
[ -n "$staged$unpacked" ] || what="mqtt443 $now is installed; nothing had to be changed"
say "$what"

if [ -n "$with_unit" ] && [ -n "$live" ]; then
  systemctl daemon-reload
  if systemctl is-active --quiet mqtt443.service; then
    systemctl restart mqtt443.service ||
      die "$SERVICE_ERROR" "Cannot restart the service; the files are installed" \
        "systemctl status mqtt443"
    say "restarted the service"
  fi
fi
# What earlier versions unpacked, here and in the service's folder.
for old in "$root$LIB"/.new "$root$LIB"/* "$root$STATE/runtime"; do
  case $old in */"$runtime" | *'*') ;; *) [ ! -d "$old" ] || [ -L "$old" ] || rm -rf -- "$old" ;; esac
done
[ -z "$is_upgrade" ] || exit 0
say
say "Next:"
[ -e "$root$CONFIG/mqtt443.json" ] ||
  say "  sudo cp $CONFIG/mqtt443.json.sample $CONFIG/mqtt443.json  # and write your endpoint into it"
[ -n "$certs" ] ||
  say "  sudo sh $here/install.sh --certs DIR  # where certificate, key and CA are in DIR"
say "  sudo -u $OWNER sh -c 'cd $STATE && mqtt443 doctor --offline'"
if [ -z "$live" ]; then
  [ -z "$with_unit" ] || say "  sudo systemctl --root='$root' enable mqtt443  # to start it at boot"
elif [ -n "$with_unit" ]; then
  say "  sudo systemctl enable --now mqtt443"
else
  say "  sudo -u $OWNER sh -c 'cd $STATE && exec $BIN publish'  # or let your init do this"
fi
