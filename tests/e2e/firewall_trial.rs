//! `anklume firewall apply`: only the table, and on trial where that is asked for.

use crate::harness::{Bed, Running, edited, wait_for};

const FILE: &str = "
project_name: trial
global: {}
domains:
  a: {machines: {a1: {}}}
  b: {machines: {b1: {}}}
network_policies:
  - {from: a1, to: b1, ports: [80], protocol: tcp}
";

/// The file with one more port open.
fn more() -> String {
    edited(FILE, &[("[80]", "[80, 7777]")])
}

fn listing(bed: &Bed) -> String {
    bed.sh("nft -s list table inet anklume 2>/dev/null || echo none").ok().stdout
}

fn kept(bed: &Bed) -> String {
    bed.sh("cat /etc/anklume/firewall.json").ok().stdout
}

/// Begins a trial and waits until its table is in force.
fn begin<'a>(bed: &'a Bed, before: &str, script: &str) -> Running<'a> {
    let running = bed.start(script);
    wait_for("the table on trial", || ![before, "none\n"].contains(&listing(bed).as_str()));
    running
}

#[test]
fn only_the_table_is_loaded_and_an_unconfirmed_one_goes_again() {
    let bed = Bed::up();
    bed.sh("mkdir bin; ln -s $ANKLUME bin/anklume").ok();
    bed.infra(FILE);
    bed.apply(&[]);
    // The file is kept up to date once it is there.
    bed.anklume(&["firewall", "export", "/etc/anklume/firewall.json"]);

    only_the_table(&bed);
    unconfirmed_it_goes(&bed);
    confirmed_it_stays(&bed);
    it_goes_whatever_happens_to_the_shell(&bed);
    what_was_there_before_comes_back_whatever_it_was(&bed);
    bed.anklume(&["firewall", "apply", "--yes"]);
    bed.plan_is_empty();
}

fn only_the_table(bed: &Bed) {
    bed.infra(&edited(&more(), &[("a1: {}", "a1: {config: {limits.cpu: 1}}")]));
    let first = listing(bed);
    bed.try_anklume(&["firewall", "apply"]).code(1).says(&["a1 -> b1", "say `--yes`"]);
    assert_eq!(listing(bed), first);
    bed.anklume(&["firewall", "apply", "--yes"]).says(&["a1 -> b1", "the table is in force"]).says_not(&["instance"]);
    assert!(listing(bed).contains("7777"));
    assert!(kept(bed).contains("7777"));
    assert_eq!(bed.plan(&[]).actions(), ["update instance a1"]);
    bed.anklume(&["firewall", "apply", "--yes"]).says(&["Nothing to do"]);
    bed.infra(FILE);
    bed.anklume(&["firewall", "apply", "--yes"]);
    assert_eq!(listing(bed), first);
}

fn unconfirmed_it_goes(bed: &Bed) {
    let (first, first_kept) = (listing(bed), kept(bed));
    bed.infra(&more());
    let trial = begin(bed, &first, "exec bin/anklume firewall apply --yes --confirm 2");
    assert!(listing(bed).contains("7777"));
    assert_eq!(kept(bed), first_kept, "a reboot meanwhile brings the former one back");
    let said = trial.wait().code(1);
    let _ = said.says(&["in force for 2 s: `anklume firewall confirm` keeps it", "the former one is back"]);
    assert_eq!((listing(bed), kept(bed)), (first.clone(), first_kept.clone()));
    bed.try_anklume(&["firewall", "confirm"]).code(1).says(&["there is no table on trial"]);
    // Ctrl-C does not wait for the end of the time.
    let trial = begin(bed, &first, "exec bin/anklume firewall apply --yes --confirm 600");
    trial.signal("INT");
    trial.wait().code(1).says(&["the former one is back"]);
    assert_eq!((listing(bed), kept(bed)), (first, first_kept));
}

fn confirmed_it_stays(bed: &Bed) {
    let first = listing(bed);
    let watch = bed.start("exec bin/anklume firewall watch 2> watch.log");
    let trial = begin(bed, &first, "exec bin/anklume firewall apply --yes --confirm 600");
    bed.anklume(&["status"]).says(&["on trial: `anklume firewall confirm` keeps the table"]);
    bed.try_anklume(&["apply", "--yes"]).code(1).says(&["another anklume is at work: `anklume firewall apply`"]);
    // What is watched is the table on trial.
    let tried = listing(bed);
    bed.sh("nft delete table inet anklume").ok();
    wait_for("the table on trial to be restored", || listing(bed) == tried);
    bed.anklume(&["firewall", "confirm"]).says(&["confirmed: the table stays"]);
    trial.wait().ok().says(&["confirmed: the table stays"]);
    watch.signal("TERM");
    watch.wait().ok();
    assert_eq!(listing(bed), tried);
    assert!(kept(bed).contains("7777"));
    bed.plan_is_empty();
    bed.anklume(&["status"]).says_not(&["on trial"]);

    // On a terminal, Enter is enough.
    bed.infra(FILE);
    let typed = "echo | script -qec 'bin/anklume firewall apply --yes --confirm 600' /dev/null";
    bed.sh(typed).ok().says(&["Enter or `anklume firewall confirm` keeps it", "confirmed: the table stays"]);
    assert_eq!(listing(bed), first);
    bed.plan_is_empty();
}

fn it_goes_whatever_happens_to_the_shell(bed: &Bed) {
    let first = listing(bed);
    bed.infra(&more());
    let killed = begin(bed, &first, "exec bin/anklume firewall apply --yes --confirm 3");
    killed.signal("KILL");
    assert!(listing(bed).contains("7777"));
    bed.try_anklume(&["apply", "--yes"]).code(1).says(&["another anklume is at work"]);
    wait_for("the former table", || listing(bed) == first);
    // The terminal goes, as when a connection is lost.
    let on_terminal = "exec script -qec 'bin/anklume firewall apply --yes --confirm 3' /dev/null";
    wait_for("the lock", || bed.try_anklume(&["firewall", "confirm"]).stderr.contains("no table on trial"));
    let lost = begin(bed, &first, on_terminal);
    lost.signal("KILL");
    wait_for("the terminal to be gone", || bed.sh("pidof script").code == 1);
    assert!(listing(bed).contains("7777"));
    wait_for("the former table", || listing(bed) == first);
    wait_for("the end of the trial", || bed.sh("pidof anklume").code == 1);
    assert_eq!(bed.plan(&[]).actions(), ["update firewall", "update file /etc/anklume/firewall.json"]);
}

fn what_was_there_before_comes_back_whatever_it_was(bed: &Bed) {
    for deed in ["nft insert rule inet anklume forward meta mark 7 accept", "nft delete table inet anklume"] {
        bed.sh(deed).ok();
        let before = listing(bed);
        let trial = begin(bed, &before, "exec bin/anklume firewall apply --yes --confirm 600");
        trial.signal("TERM");
        trial.wait().code(1);
        assert_eq!(listing(bed), before);
    }
}
