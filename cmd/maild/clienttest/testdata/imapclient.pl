# A full round of Mail::IMAPClient. Arguments: the port of IMAP, of IMAPS, the
# file with the authority's certificate, user, password, and two files with the
# messages "made here" and "made too".
use strict;
use warnings;
use Mail::IMAPClient;

my ($imap, $imaps, $ca, $user, $password, @files) = @ARGV;
my @tls = (SSL_ca_file => $ca, SSL_verify_mode => 1, SSL_hostname => 'localhost', SSL_verifycn_name => 'localhost');

sub client {
    my $c = Mail::IMAPClient->new(Server => 'localhost', User => $user, Password => $password,
        Uid => 1, Peek => 1, Timeout => 300, @_) or die "login: $@";
    return $c;
}

sub same {
    my ($what, $got, $want) = @_;
    $got eq $want or die "$what: got \"$got\", want \"$want\"\n";
}

my $c = client(Port => $imaps, Ssl => [@tls]);
my $other = client(Port => $imap, Starttls => [@tls], Authmechanism => 'PLAIN');
my $ok = sub { my ($c, $call, @args) = @_; my @r = $c->$call(@args); die "$call: " . $c->LastError unless @r && defined $r[0]; wantarray ? @r : $r[0] };

# List.
same('folders', join(' ', sort grep { !/^(Drafts|Sent|Trash|Junk|Archive)$/ } $c->$ok('folders')), 'INBOX Work');
$c->$ok('create', 'Perl');
$c->$ok('subscribe', 'Perl');
same('subscribed', join(' ', grep { $_ eq 'Perl' } $c->$ok('subscribed')), 'Perl');
same('is parent', $c->is_parent('INBOX') ? 1 : 0, 0);

# Fetch.
$c->$ok('select', 'INBOX');
$other->$ok('select', 'INBOX');
my @all = $c->$ok('messages');
same('messages', scalar @all, 4);
same('subjects', join(',', map { $c->$ok('subject', $_) } @all), 'one,two,three,four');
my $heads = $c->$ok('parse_headers', \@all, 'Subject', 'Message-Id');
same('header', $heads->{$all[1]}{Subject}[0], 'two');
$c->$ok('message_to_file', $files[2], $all[0]);
same('size', -s $files[2], $c->$ok('size', $all[0]));
my $structure = $c->$ok('get_bodystructure', $all[0]);
same('parts', join(' ', $structure->parts), '1 2');
same('type', lc $structure->bodytype . '/' . lc $structure->bodysubtype, 'multipart/mixed');
my $envelope = $c->$ok('get_envelope', $all[2]);
same('envelope', $envelope->subject, 'three');
same('part', $c->$ok('bodypart_string', $all[0], '2') =~ /^AAECAwQF/ ? 1 : 0, 1);

# Search, sort, thread.
same('search', join(',', map { $c->subject($_) } $c->$ok('search', 'SUBJECT', 'two')), 'two');
same('search for text', scalar(@{[$c->$ok('search', 'BODY', 'the end of three')]}), 1);
same('unseen', $c->$ok('unseen_count'), 3);
same('sort', join(',', map { $c->subject($_) } $c->$ok('sort', 'REVERSE SUBJECT', 'UTF-8', 'ALL')), 'two,three,one,four');
same('threads', scalar @{$c->$ok('thread', 'REFERENCES', 'UTF-8', 'ALL')}, 4);

# Append, flag, copy, move, delete.
my $new = $c->$ok('append_file', 'INBOX', $files[0], undef, '\Seen', 1);
same('APPENDUID', $c->$ok('subject', $new), 'made here');
open my $fh, '<:raw', $files[1] or die $!;
my $text = do { local $/; <$fh> };
$c->$ok('append_string', 'Perl', $text, '\Flagged \Draft', '02-Mar-2026 12:00:00 +0100');
$c->$ok('set_flag', 'Flagged', $all[0]);
$c->$ok('see', $all[0]);
$c->$ok('unset_flag', 'Seen', $new);
same('flags', join(' ', sort grep { !/Recent/ } $c->$ok('flags', $all[0])), '\Flagged \Seen');
$c->$ok('copy', 'Work', $all[0]);
$c->$ok('move', 'Work', $all[1]);
$c->$ok('expunge');
$c->$ok('delete_message', $all[2]);
$c->$ok('uidexpunge', $all[2]);
$c->$ok('rename', 'Perl', 'Renamed');

# What the other connection did not know yet, and what it then does.
$other->$ok('noop');
same('the other sees', join(',', map { $other->subject($_) } $other->$ok('messages')), 'one,four,made here');
$other->$ok('set_flag', 'Answered', $all[3]);
$other->$ok('append_string', 'INBOX', $text);
$c->$ok('noop');
same('messages at the end', join(',', map { $c->subject($_) } $c->$ok('messages')), 'one,four,made here,made too');
same('the flag of the other', scalar(grep { $_ eq '\Answered' } $c->$ok('flags', $all[3])), 1);

# IDLE, and what the other does meanwhile.
my $idle = $c->$ok('idle');
$other->$ok('delete_message', $other->$ok('search', 'SUBJECT', 'made too'));
$other->$ok('expunge');
my @told = $c->$ok('idle_data', 20);
same('told in IDLE', "@told" =~ /FETCH|EXPUNGE/ ? 1 : 0, 1);
$c->$ok('done', $idle);
same('after IDLE', scalar(@{[$c->$ok('messages')]}), 3);
$_->$ok('logout') for $c, $other;

# Who has the wrong password stays outside.
my $stranger = Mail::IMAPClient->new(Server => 'localhost', Port => $imaps, Ssl => [@tls], User => $user, Password => 'guess', Timeout => 300);
die 'a wrong password was taken' if $stranger;
