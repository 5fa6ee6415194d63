#!/bin/sh
# Installs, upgrades or removes mqtt443; `sh install.sh --help` says how. For any POSIX shell, with the
# tools of BusyBox. It checks everything first, copies each file beside its place, and then renames: it
# can be interrupted anywhere, and run again. Settings, certificates and the queue are never touched.
set -u
umask 022
export LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

VERSION='@VERSION@'
ARCH='@ARCH@'

BIN=/usr/local/bin/mqtt443
CONFIG=/etc/mqtt443
STATE=/var/lib/mqtt443
UNITS=/etc/systemd/system
OWNER=mqtt443
DOC=/usr/local/share/doc/mqtt443
MAN=/usr/local/share/man/man1/mqtt443.1

nl='
'
USAGE_ERROR=64 KIT_ERROR=65 SERVICE_ERROR=69 WRITE_ERROR=73 RIGHTS_ERROR=77

help() {
  cat <<END
Installs mqtt443 $VERSION for $ARCH, or upgrades it: settings, certificates and queue stay.

Usage: sh install.sh [--root DIR] [--dry-run] [--no-service]
       sh install.sh --uninstall [--purge] [--root DIR] [--dry-run]

  --root DIR    install below DIR, for an image of any architecture; starts nothing
  --dry-run     say what would be done, and change nothing
  --no-service  leave systemd alone: no unit, no restart
  --uninstall   remove it; settings, certificates and queue stay
  --purge       with --uninstall: remove those too

Places: $BIN, $CONFIG, $STATE,
$UNITS, $DOC; user $OWNER

Exit codes: 0 done, $USAGE_ERROR wrong command line, $KIT_ERROR damaged kit or wrong machine,
  $SERVICE_ERROR installed but the service does not start, $WRITE_ERROR cannot write, $RIGHTS_ERROR not root
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

with_root='' root='' dry='' uninstall='' purge='' service=yes
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) help && exit 0 ;;
    --dry-run) dry=yes ;;
    --no-service) service='' ;;
    --uninstall) uninstall=yes ;;
    --purge) purge=yes ;;
    --root=*) with_root=yes root=${1#--root=} ;;
    --root)
      with_root=yes root=${2:-}
      [ $# -eq 1 ] || shift
      ;;
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
if [ -z "$live" ]; then
  for place in /etc "$CONFIG" "$CONFIG/certs" "$STATE" "$UNITS" "$UNITS/multi-user.target.wants" \
    "${BIN%/*}" "$DOC" "${MAN%/*}"; do
    check_inside "$place"
  done
fi

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P) || exit "$KIT_ERROR"
has_systemd() { [ -n "$live" ] && [ -d /run/systemd/system ] && command -v systemctl >/dev/null; }
[ -z "$live" ] || [ -n "$dry" ] || [ "$(id -u)" = 0 ] ||
  die "$RIGHTS_ERROR" "Cannot install as user $(id -u): it takes root" \
    "sudo sh install.sh, or --root DIR to install below a folder of yours"

# --- the user that the service runs as -----------------------------------------------------------------

# uid_of: the number of the user, nothing if there is none.
uid_of() {
  if [ -n "$live" ]; then
    id -u "$OWNER" 2>/dev/null
  elif [ -f "$root/etc/passwd" ]; then
    sed -n "s/^$OWNER:[^:]*:\([0-9]*\):.*/\1/p" "$root/etc/passwd"
  fi
}

# gid_of: the number of its group.
gid_of() {
  if [ -n "$live" ]; then
    id -g "$OWNER"
  else
    sed -n "s/^$OWNER:[^:]*:[0-9]*:\([0-9]*\):.*/\1/p" "$root/etc/passwd"
  fi
}

# rewrite FILE AWK: changes a file of the system by a rename, with its mode and owner as they were.
rewrite() {
  out=$({
    cp -p -- "$root$1" "$root$1.mqtt443" && awk "$2" "$root$1" >"$root$1.mqtt443" &&
      mv -f -- "$root$1.mqtt443" "$root$1"
  } 2>&1) || {
    rm -f -- "$root$1.mqtt443"
    cannot_write "$root$1" "$out"
  }
}

# group_there: the number of the group of that name, which may be there without a user.
group_there() {
  {
    [ -z "$live" ] || getent group "$OWNER"
    cat -- "$root/etc/group"
  } 2>/dev/null | sed -n "s/^$OWNER:[^:]*:\([0-9]*\):.*/\1/p" | head -n 1
}

# append FILE LINE: where there is such a file, and no such name in it.
append() {
  [ ! -f "$root/etc/$1" ] || grep -q "^$OWNER:" "$root/etc/$1" ||
    rewrite "/etc/$1" "{ print } END { print \"$2\" }"
}

# make_user: a user for the service alone, without password, shell and home.
make_user() {
  [ -z "$(uid_of)" ] || return 0
  if [ -z "$live" ] && [ ! -f "$root/etc/passwd" ]; then
    say "made no user: there is no $root/etc/passwd; the image needs a user and group $OWNER"
    return 0
  fi
  if [ -n "$dry" ]; then say "would make user $OWNER"; return 0; fi
  shell=/usr/sbin/nologin
  [ -e "$root$shell" ] || shell=/bin/false
  group=$(group_there)
  own_group=--user-group
  [ -z "$group" ] || own_group=--gid=$OWNER
  if [ -z "$live" ] || ! {
    useradd --system "$own_group" --no-create-home --home-dir "$STATE" --shell "$shell" "$OWNER" ||
      adduser -S -D -H -h "$STATE" -s "$shell" -g "$OWNER" ${group:+-G "$OWNER"} "$OWNER"
  } >/dev/null 2>&1; then
    # In an image, or without these tools: the highest number of the system's that is free.
    id=$(cat -- "$root/etc/passwd" "$root/etc/group" 2>/dev/null | awk -F: '
      { used[$3] = 1 } END { for (id = 999; id > 99; id--) if (!(id in used)) { print id; exit } }')
    append passwd "$OWNER:x:$id:${group:-$id}:$OWNER:$STATE:$shell"
    append group "$OWNER:x:$id:"
    append shadow "$OWNER:!:19000::::::"
  fi
  say "made user $OWNER ($(uid_of))"
}

# own PATH OWNER MODE: as the program wants it; says so where it was different. Links are left alone, and
# what is in a folder of somebody else's, who could put a link there between the look and the change.
own() {
  uid=$(uid_of)
  [ -e "$root$1" ] && [ ! -L "$root$1" ] && [ -O "$root${1%/*}" ] && [ -n "$uid" ] || return 0
  want=$uid
  [ "$2" != root ] || want=0
  gid=$(gid_of)
  [ -n "$(find "$root$1" -prune \( ! -user "$want" -o ! -group "$gid" -o ! -perm "$3" \) -print)" ] ||
    return 0
  if chown "$want:$gid" "$root$1" 2>/dev/null && chmod "$3" "$root$1" 2>/dev/null; then
    say "set owner and mode of $root$1 ($2, $3)"
  else
    say "left the owner of $root$1 as it is: it takes root to make it $2's"
  fi
}

# --- removing ------------------------------------------------------------------------------------------

# remove WHAT PATH
remove() {
  [ -e "$root$2" ] || [ -L "$root$2" ] || return 0
  if [ -n "$dry" ]; then say "would remove $1 $root$2"; return 0; fi
  out=$(rm -rf -- "$root$2" 2>&1) ||
    die "$WRITE_ERROR" "Cannot remove \"$root$2\": ${out##*: }" "see to that, and run it again"
  say "removed $1 $root$2"
}

# remove_user: with the tools of this system, or by hand where it is an image.
remove_user() {
  if [ -n "$dry" ]; then say "would remove user $OWNER"; return 0; fi
  if [ -z "$live" ] || ! { userdel "$OWNER" || deluser "$OWNER"; } >/dev/null 2>&1; then
    for file in passwd group shadow; do
      [ ! -f "$root/etc/$file" ] || rewrite "/etc/$file" "!/^$OWNER:/"
    done
  fi
  say "removed user $OWNER"
}

do_uninstall() {
  if has_systemd && [ -e "$UNITS/mqtt443.service" ] && [ -n "$service" ]; then
    if [ -n "$dry" ]; then
      say "would stop and disable the service"
    else
      out=$(systemctl disable --now mqtt443.service 2>&1) ||
        die "$SERVICE_ERROR" "Cannot stop the service: ${out##*"$nl"}; nothing was removed" \
          "systemctl status mqtt443 tells more; --no-service removes the rest all the same"
      say "stopped and disabled the service"
    fi
  fi
  remove executable "$BIN"
  remove 'unfinished copy' "${BIN%/*}/.${BIN##*/}.new"
  if [ -n "$service" ]; then
    remove link "$UNITS/multi-user.target.wants/mqtt443.service"
    remove unit "$UNITS/mqtt443.service"
    remove unit "$UNITS/mqtt443-wait.target"
    remove 'unit of before' "$UNITS/mqtt443.service.old"
    if [ -z "$dry" ] && has_systemd; then systemctl daemon-reload; fi
  fi
  remove documents "$DOC"
  remove 'manual page' "$MAN"
  remove sample "$CONFIG/mqtt443.json.sample"
  # What the executable unpacks can be had again from the executable.
  remove 'unpacked runtime' "$STATE/runtime"
  if [ -n "$purge" ]; then
    remove 'settings and certificates' "$CONFIG"
    remove queue "$STATE"
    [ -z "$(uid_of)" ] || remove_user
    [ ! -d "$root$UNITS/mqtt443.service.d" ] ||
      say "left $root$UNITS/mqtt443.service.d: changes made with systemctl edit"
  else
    for place in "$CONFIG" "$STATE"; do
      [ ! -e "$root$place" ] || say "left $root$place (--purge removes it)"
    done
    [ -z "$(uid_of)" ] || say "left user $OWNER (--purge removes it)"
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

# --- copying: first beside the places, then all renamed -----------------------------------------------

staged='' made_folders='' is_done=''
clean_up() {
  [ -z "$is_done" ] || return 0
  for dest in $staged; do rm -f -- "$root${dest%/*}/.${dest##*/}.new"; done
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
  out=$({ rm -f -- "$new" && cp -- "$1" "$new" && chmod "$3" -- "$new"; } 2>&1) ||
    cannot_write "$root$2" "$out"
}

before=''
[ ! -f "$root$DOC/VERSION" ] || before=$(cat -- "$root$DOC/VERSION")
is_upgrade=''
[ ! -e "$root$BIN" ] || is_upgrade=yes

folder "$CONFIG" 755
# Root writes into it: it must not be the service's to put links there.
uid=$(uid_of)
if [ -n "$uid" ] && [ -n "$(find "$root$CONFIG" -prune -user "$uid" -print 2>/dev/null)" ]; then
  if [ -n "$dry" ]; then
    say "would make root the owner of $root$CONFIG"
  elif chown -h 0 "$root$CONFIG" 2>/dev/null; then
    say "made root the owner of $root$CONFIG"
  fi
fi
folder "$CONFIG/certs" 750
folder "$STATE" 700
stage "$here/mqtt443.json.sample" "$CONFIG/mqtt443.json.sample" 644
# A kit for one site brings its settings, for a machine that has none.
if [ -f "$here/mqtt443.json" ]; then
  if [ ! -e "$root$CONFIG/mqtt443.json" ]; then
    stage "$here/mqtt443.json" "$CONFIG/mqtt443.json" 644
  elif ! cmp -s -- "$here/mqtt443.json" "$root$CONFIG/mqtt443.json"; then
    say "left $root$CONFIG/mqtt443.json, though this executable was built for $here/mqtt443.json: compare them"
  fi
fi
for name in README.txt THIRD_PARTY_LICENSES.txt sbom.cdx.json install.sh VERSION; do
  stage "$here/$name" "$DOC/$name" 644
done
[ ! -f "$here/mqtt443.1" ] || stage "$here/mqtt443.1" "$MAN" 644
with_unit=''
if [ -n "$service" ] && { [ -z "$live" ] || has_systemd; }; then
  with_unit=yes
  unit=$root$UNITS/mqtt443.service
  if [ -f "$unit" ] && ! cmp -s -- "$here/mqtt443.service" "$unit"; then
    say "keeping the unit of before as $unit.old (changes belong into mqtt443.service.d/*.conf)"
    stage "$unit" "$UNITS/mqtt443.service.old" 644
  fi
  stage "$here/mqtt443.service" "$UNITS/mqtt443.service" 644
  stage "$here/mqtt443-wait.target" "$UNITS/mqtt443-wait.target" 644
fi
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
for dest in $staged; do
  out=$(mv -f -- "$root${dest%/*}/.${dest##*/}.new" "$root$dest" 2>&1) ||
    die "$WRITE_ERROR" "Cannot write \"$root$dest\": ${out##*: }" \
      "see to that, and run install.sh again to finish"
  say "installed $root$dest"
done

own "$STATE" "$OWNER" 700
# What root has unpacked, by trying the executable, the service could not use: it unpacks it again. Nothing
# else is done in there: the folder is the service's.
uid=$(uid_of)
if [ -n "$uid" ] && [ -n "$(find "$root$STATE/runtime" -prune ! -user "$uid" -print 2>/dev/null)" ]; then
  rm -rf -- "$root$STATE/runtime"
  say "removed $root$STATE/runtime, which was not $OWNER's"
fi
own "$CONFIG/certs" root 750
# A key is the user's alone, or the program refuses it.
certs=$root$CONFIG/certs
for key in "$certs"/*-private.pem.key "$certs/private.pem.key" "$certs/key.pem"; do
  own "${key#"$root"}" "$OWNER" 600
done

# --- the service ---------------------------------------------------------------------------------------

now=$(cat -- "$here/VERSION")
what="installed mqtt443 $now"
[ -z "$is_upgrade" ] || what="upgraded mqtt443 from ${before:-an earlier version} to $now"
[ -n "$staged" ] || what="mqtt443 $now is installed; nothing had to be changed"
say "$what"

if [ -n "$with_unit" ] && [ -n "$live" ]; then
  systemctl daemon-reload
  if systemctl is-active --quiet mqtt443.service; then
    systemctl restart mqtt443.service ||
      die "$SERVICE_ERROR" "Cannot restart the service; the files are installed" \
        "systemctl status mqtt443; mqtt443 doctor --offline"
    say "restarted the service"
    exit 0
  fi
fi
[ -z "$is_upgrade" ] || exit 0
say
say "Next:"
[ -e "$root$CONFIG/mqtt443.json" ] ||
  say "  cp $CONFIG/mqtt443.json.sample $CONFIG/mqtt443.json   and write your endpoint into it"
say "  put certificate, key and CA into $CONFIG/certs, the key as user $OWNER's alone:"
say "    chown $OWNER $CONFIG/certs/*-private.pem.key; chmod 600 $CONFIG/certs/*-private.pem.key"
say "  cd $STATE && sudo -u $OWNER mqtt443 doctor --offline"
if [ -z "$live" ]; then
  [ -z "$with_unit" ] || say "  systemctl --root='$root' enable mqtt443   to start it at boot"
elif [ -n "$with_unit" ]; then
  say "  systemctl enable --now mqtt443"
else
  say "  have your init start it as user $OWNER: cd $STATE && exec $BIN publish"
fi
