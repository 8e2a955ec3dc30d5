# Fetches all of the INBOX with all that Mail::IMAPClient parses, each message
# into a file of a folder. Arguments: the port of IMAPS, the file with the
# authority's certificate, user, password, the folder.
use strict;
use warnings;
use Mail::IMAPClient;

my ($port, $ca, $user, $password, $folder) = @ARGV;
my $c = Mail::IMAPClient->new(Server => 'localhost', Port => $port, User => $user, Password => $password, Uid => 1, Peek => 1, Timeout => 300,
    Ssl => [SSL_ca_file => $ca, SSL_verify_mode => 1, SSL_hostname => 'localhost']) or die "login: $@";
$c->select('INBOX') or die $c->LastError;
for my $uid ($c->messages) {
    $c->get_envelope($uid) or die "envelope of $uid: " . $c->LastError;
    $c->get_bodystructure($uid) or die "structure of $uid: " . $c->LastError;
    $c->message_to_file("$folder/$uid", $uid) or die "message $uid: " . $c->LastError;
    -s "$folder/$uid" == $c->size($uid) or die "message $uid: " . -s("$folder/$uid") . ' bytes of ' . $c->size($uid);
}
$c->logout;
