//! Machines made anew from newer images.

use serde_json::Value;

use super::{ANEW, kept, left, made_from_the_first_image, newer, serial};
use crate::harness::{Bed, edited};

#[test]
fn a_machine_is_made_anew_from_a_newer_image_and_keeps_all_but_its_root_disk() {
    let bed = made_from_the_first_image(ANEW);
    let before = kept(&bed);
    bed.anklume(&["upgrade", "--rebuild", "dev", "--yes"])
        .says(&["dev is made from the image that is here", "Nothing to make anew"]);
    newer(&bed, 2);
    bed.try_anklume(&["upgrade", "images"]).code(1).says(&["~ refresh image images:debian/13", "there is no terminal"]);
    let list = [
        "pro  dev  is made from images:debian/13",
        "the one of 2025-01-02 is newer",
        "`anklume upgrade --rebuild NAME`",
    ];
    bed.anklume(&["upgrade", "images", "--yes"]).says(&list).says(&["pro  web  is made"]);
    bed.plan_is_empty();

    bed.try_anklume(&["upgrade", "--rebuild", "devv"]).code(1).says(&["did you mean `dev`?"]);
    let list = [
        "~ rebuild instance dev  (from images:debian/13 2025-01-02)",
        "What is on their root disks goes",
        "no terminal",
    ];
    bed.try_anklume(&["upgrade", "--rebuild", "dev"]).code(1).says(&list);
    assert_eq!(serial(&bed, "dev"), "1");
    bed.anklume(&["upgrade", "--rebuild", "dev", "--yes"]);
    assert_eq!([serial(&bed, "dev"), serial(&bed, "web")], ["2", "1"]);
    assert_eq!(kept(&bed), before, "name, marks, MAC address, devices, profiles, and what was set by hand");
    bed.wait_for_guest("pro", "dev", "10.120.0.1");
    bed.guest("pro", "dev", "cat /data/f; test -c /dev/null0; test ! -e /root/f").ok().says(&["volume\n"]);
    assert_eq!(left(&bed), [""; 0]);
    bed.plan_is_empty();
    bed.anklume(&["upgrade", "--rebuild", "dev", "--yes"]).says(&["Nothing to make anew"]);

    // A whole domain; one with snapshots is kept with them.
    bed.sh("incus snapshot create web mine --project pro </dev/null").ok();
    bed.anklume(&["upgrade", "rebuild", "pro", "--yes"])
        .says(&["since it has snapshots"])
        .says_not(&["rebuild instance dev"]);
    assert_eq!(serial(&bed, "web"), "2");
    let stands = left(&bed);
    assert!(
        stands.len() == 2 && stands[0].starts_with("web-before-replace-") && stands[0].ends_with("/mine"),
        "{stands:?}"
    );
    bed.plan_is_empty();
}

#[test]
fn a_machine_that_is_not_healthy_with_a_newer_image_gets_its_old_root_disk_back() {
    let health = ("      web: {}", "        health: grep -q 1 /etc/image-serial\n      web: {}");
    let bed = made_from_the_first_image(&edited(ANEW, &[health]));
    let before = kept(&bed);
    newer(&bed, 2);
    bed.anklume(&["upgrade", "images", "--yes"]);
    let said =
        ["failed: dev: its `health` command ended with 1; the old one is back", "not begun: web", "not made anew: dev"];
    bed.try_anklume(&["upgrade", "--rebuild", "dev", "web", "--wait", "1", "--yes"]).code(1).says(&said);
    it_is_the_old_one(&bed, &before);
    assert_eq!(serial(&bed, "web"), "1");
    // One that cannot even be made.
    bed.write(
        "bin/incus",
        "#!/bin/sh\n[ \"$1 $3\" != 'create dev' ] || { echo 'Error: no room' >&2; exit 1; }\nexec /usr/bin/incus \"$@\"",
    );
    let run = bed.sh("chmod 755 bin/incus; PATH=$PWD/bin:$PATH $ANKLUME upgrade --rebuild dev --yes").code(1);
    run.says(&["no room", "dev: it could not be made; the old one is back"]);
    it_is_the_old_one(&bed, &before);
}

#[track_caller]
fn it_is_the_old_one(bed: &Bed, before: &(Value, Value, Value)) {
    assert_eq!(kept(bed), *before);
    bed.wait_for_guest("pro", "dev", "10.120.0.1");
    assert_eq!(bed.guest("pro", "dev", "cat /root/f /data/f").ok().stdout, "root\nvolume\n");
    assert_eq!((serial(bed, "dev"), left(bed)), ("1".to_owned(), Vec::new()));
    bed.plan_is_empty();
}
