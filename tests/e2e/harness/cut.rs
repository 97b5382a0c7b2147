//! Runs that are killed at one of their calls.

use super::bed::Bed;

/// An `incus` that counts the calls that write, and kills who made the one with the number in `$CUT_AT`: the call itself
/// goes on, as it does when anklume alone is killed.
const COUNTING: &str = r#"#!/bin/sh
[ "$1" != query ] || exec /usr/bin/incus "$@"
number=$(flock "$CUT_IN/count" sh -c 'echo "$*" >> "$CUT_IN/calls"; wc -l < "$CUT_IN/calls"' - "$@")
[ "$number" != "$CUT_AT" ] || kill -KILL $PPID
exec /usr/bin/incus "$@"
"#;

/// Runs anklume to its end; the calls that it made to write, in order.
#[track_caller]
pub(crate) fn calls_of(bed: &Bed, args: &[&str]) -> Vec<String> {
    assert!(!cut_off_at(bed, args, 0), "nobody kills it");
    let calls = std::fs::read_to_string(bed.dir().join("calls")).unwrap_or_default();
    calls.lines().map(str::to_owned).collect()
}

/// Kills anklume as it begins that call, the first being 1; was it killed, or had it ended by then?
#[track_caller]
pub(crate) fn cut_off_at(bed: &Bed, args: &[&str], call: usize) -> bool {
    bed.write("bin/incus", COUNTING);
    let words = args.join(" ");
    let script = format!(
        "chmod 755 bin/incus; rm -f calls; export CUT_IN=$PWD CUT_AT={call} PATH=$PWD/bin:$PATH; exec $ANKLUME {words}"
    );
    let output = bed.sh(&script);
    // The bed tells of a signal as a shell does, or as the kernel does.
    let killed = output.code == 137 || output.code == -1;
    if !killed {
        let _ = output.ok();
    }
    killed
}
