#!/bin/sh
# Takes a device's certificate, key and CA to /etc/mqtt443/certs, by the names that AWS gives them, and lets nobody but
# the service read the key: `sudo sh certs.sh DIR`. Without DIR it only sees to owners and modes. For any POSIX shell;
# install.sh and the Debian package use it, --root DIR for an image, --check to say what is wrong and change nothing.
set -u
export LC_ALL=C

CERTS=/etc/mqtt443/certs
STATE=/var/lib/mqtt443
OWNER=mqtt443
nl='
'
USAGE_ERROR=64 WRITE_ERROR=73 RIGHTS_ERROR=77 SETTINGS_ERROR=78

# die CODE ERROR HINT
die() {
  printf 'error: %s\nhint: %s\n' "$2" "$3" >&2
  exit "$1"
}

root='' from='' check=''
while [ $# -gt 0 ]; do
  case $1 in
    --check) check=yes ;;
    --root) root=${2?} && shift ;;
    -*) die "$USAGE_ERROR" "Cannot understand \"$1\"" "sh $0 DIR" ;;
    *) from=$1 && [ -d "$from" ] ||
      die "$USAGE_ERROR" "Cannot take certificates from \"$from\": there is no such folder" "sh $0 DIR" ;;
  esac
  shift
done

# files KIND DIR: the names in a folder that are a certificate's, a key's or a CA's.
files() {
  case $1 in
    certificate) set -- "$2"/*-certificate.pem.crt "$2/device.pem.crt" "$2/cert.pem" ;;
    key) set -- "$2"/*-private.pem.key "$2/private.pem.key" "$2/key.pem" ;;
    CA) set -- "$2"/AmazonRootCA*.pem "$2/ca.pem" ;;
  esac
  for file; do [ ! -f "$file" ] || printf '%s\n' "${file##*/}"; done
}

for kind in ${from:+certificate key}; do
  names=$(files "$kind" "$from")
  there=$(files "$kind" "$root$CERTS")
  case $names in
    '') die "$SETTINGS_ERROR" "Cannot find the $kind in \"$from\"" \
      "give it the name that AWS gives it: ID-certificate.pem.crt, ID-private.pem.key, AmazonRootCA1.pem" ;;
    *"$nl"*) die "$SETTINGS_ERROR" "Cannot tell which $kind in \"$from\" is this device's" \
      "leave one of them there: $(printf '%s ' $names)" ;;
  esac
  [ -z "$there" ] || [ "$there" = "$names" ] ||
    die "$SETTINGS_ERROR" "Cannot take $kind $names: $root$CERTS holds another one" \
      "move that away, and run it again: $(printf '%s ' $there)"
done
[ -z "$check" ] || exit 0
[ -n "$root" ] || [ "$(id -u)" = 0 ] ||
  die "$RIGHTS_ERROR" "Cannot write to $CERTS as user $(id -u): it takes root" "sudo sh $0 ${from:-DIR}"

# id_of FIELD: the number of the user (3), or of its group (4); nothing if there is none.
id_of() {
  { [ -n "$root" ] || getent passwd "$OWNER"; cat -- "$root/etc/passwd"; } 2>/dev/null |
    awk -F: -v name="$OWNER" -v at="$1" '$1 == name { print $at; exit }'
}
uid=$(id_of 3) gid=$(id_of 4)

# own PATH OWNER MODE: as the program wants it; says so where it was different. Links, also hard ones, are left alone, and
# what is in a folder of somebody else's, who could put a link there meanwhile.
own() {
  [ -e "$root$1" ] && [ -O "$root${1%/*}" ] && [ -n "$uid" ] || return 0
  want=$uid
  [ "$2" != root ] || want=0
  [ -n "$(find "$root$1" -prune \( -type d -o -type f -links 1 \) \
    \( ! -user "$want" -o ! -group "$gid" -o ! -perm "$3" \) -print)" ] || return 0
  if chown "$want:$gid" "$root$1" 2>/dev/null && chmod "$3" "$root$1" 2>/dev/null; then
    printf 'set owner and mode of %s (%s, %s)\n' "$root$1" "$2" "$3"
  else
    printf 'left the owner of %s as it is: it takes root to make it %s\n' "$root$1" "$2's"
  fi
}

own "$STATE" "$OWNER" 700
own "$CERTS" root 750
# The key is nobody's before it is its user's; after a power cut there is the old file or the new one.
umask 077
for kind in ${from:+certificate key CA}; do
  files "$kind" "$from" | while IFS= read -r name; do
    place=$root$CERTS/$name
    [ -L "$place" ] || ! cmp -s -- "$from/$name" "$place" || continue
    out=$({ rm -f -- "$place.new" && cp -- "$from/$name" "$place.new" && mv -f -- "$place.new" "$place"; } 2>&1) || {
      rm -f -- "$place.new"
      die "$WRITE_ERROR" "Cannot write \"$place\": ${out##*: }" "see to that, and run it again"
    }
    printf 'installed %s\n' "$place"
  done || exit
done
for kind in certificate CA key; do
  files "$kind" "$root$CERTS" | while IFS= read -r name; do
    if [ "$kind" = key ]; then own "$CERTS/$name" "$OWNER" 600
    elif [ -n "$from" ]; then own "$CERTS/$name" root 640
    fi
  done
done
