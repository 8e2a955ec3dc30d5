#!/usr/bin/env bash
# bench-peer.sh: Debian's Postfix and Dovecot beside Pillarbox, for `make bench`.
#
#   scripts/bench-peer.sh start DIR   configure under DIR and start on loopback
#   scripts/bench-peer.sh stop  DIR   stop what start started
#
# Ports on 127.0.0.1: 31025 smtp (Postfix, LMTP into Dovecot), 31143 imap,
# 31110 pop3. One domain bench.example, users u1 to u50, password "bench-pass".
# The machine's own mail configuration, where it has one, is not touched.
# Prints the process ids of the two masters as "postfix PID" and "dovecot PID".
set -euo pipefail

usage() { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -eq 2 ] || usage
action=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
sudo=""
[ "$(id -u)" -eq 0 ] || sudo=sudo

install_peer() {
  local missing=()
  for p in postfix dovecot-imapd dovecot-lmtpd dovecot-pop3d; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
  done
  [ ${#missing[@]} -eq 0 ] && return
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

write_dovecot() {
  local c=$dir/dovecot
  $sudo rm -rf "$c" && mkdir -p "$c/run" "$c/mail"
  : >"$c/passwd"
  for i in $(seq 1 50); do
    echo "u$i@bench.example:{PLAIN}bench-pass:::::" >>"$c/passwd"
  done
  cat >"$c/dovecot.conf" <<EOF
base_dir = $c/run
log_path = $c/dovecot.log
protocols = imap lmtp pop3
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = maildir:$c/mail/%u
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
mail_fsync = always
maildir_very_dirty_syncs = yes
default_client_limit = 4096
default_process_limit = 2048
auth_mechanisms = plain login
passdb {
  driver = passwd-file
  args = username_format=%u $c/passwd
}
userdb {
  driver = static
  args = uid=mail gid=mail home=$c/mail/%u allow_all_users=yes
}
service imap-login {
  inet_listener imap {
    port = 31143
  }
  inet_listener imaps {
    port = 0
  }
  service_count = 0
}
service pop3-login {
  inet_listener pop3 {
    port = 31110
  }
  inet_listener pop3s {
    port = 0
  }
  service_count = 0
}
service lmtp {
  unix_listener lmtp {
    mode = 0666
  }
}
service auth {
  client_limit = 16384
}
service anvil {
  client_limit = 16384
}
namespace inbox {
  inbox = yes
}
EOF
  $sudo chown -R mail:mail "$c/mail"
}

write_postfix() {
  local c=$dir/postfix
  $sudo rm -rf "$c"
  $sudo mkdir -p "$c/etc" "$c/queue" "$c/data"
  $sudo chown postfix "$c/data"
  $sudo tee "$c/etc/main.cf" >/dev/null <<EOF
compatibility_level = 3.6
queue_directory = $c/queue
data_directory = $c/data
myhostname = peer.bench.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
virtual_mailbox_domains = bench.example
virtual_mailbox_maps = static:ok
virtual_transport = lmtp:unix:$dir/dovecot/run/lmtp
message_size_limit = 52428800
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_relay_restrictions = reject_unauth_destination
maillog_file = $c/postfix.log
maillog_file_prefixes = $dir
alias_maps =
alias_database =
EOF
  # Debian's own master.cf, on our port and not in a chroot (LMTP's socket lies outside it).
  sed -e 's/^smtp  *inet .*/127.0.0.1:31025 inet n - n - - smtpd/' /usr/share/postfix/master.cf.dist |
    awk '/^[^#[:space:]]/ && $2 ~ /^(unix|unix-dgram|fifo)$/ { $5 = "n" } { print }' |
    $sudo tee "$c/etc/master.cf" >/dev/null
}

case $action in
start)
  install_peer
  write_dovecot
  write_postfix
  $sudo dovecot -c "$dir/dovecot/dovecot.conf"  >"$dir/dovecot-start.log" 2>&1 || { cat "$dir/dovecot-start.log" >&2; exit 1; }
  $sudo postfix -c "$dir/postfix/etc" start >"$dir/postfix-start.log" 2>&1 || { cat "$dir/postfix-start.log" >&2; exit 1; }
  echo "dovecot $($sudo cat "$dir/dovecot/run/master.pid")"
  echo "postfix $($sudo cat "$dir/postfix/queue/pid/master.pid" | tr -d ' ')"
  ;;
stop)
  [ -f "$dir/dovecot/run/master.pid" ] && $sudo doveadm -c "$dir/dovecot/dovecot.conf" stop || true
  [ -d "$dir/postfix/etc" ] && $sudo postfix -c "$dir/postfix/etc" stop >/dev/null 2>&1 || true
  ;;
*) usage ;;
esac
