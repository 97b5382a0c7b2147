//! Rows 16 and 17: one image cache for all domains, kept up to date, and a repository for hosts without a network.

use crate::harness::Bed;

const TWO: &str = r"
project_name: im
global: {default_os_image: images:debian/13}
domains:
  a:
    ephemeral: true
    machines: {a1: {}, a2: {os_image: images:alpine/3.20}}
  b:
    ephemeral: true
    machines: {b1: {}, b2: {state: stopped}}
";

fn with_repository() -> String {
    TWO.replace("global: {", "global: {image_repository: /srv/images, ")
}

/// How many images the cache holds: each was downloaded once.
fn downloads(bed: &Bed) -> usize {
    let images = bed.incus("/1.0/images?recursion=1&project=default");
    images.as_array().unwrap().len()
}

#[test]
fn coverage_16_image_cache_fetches_each_image_once_for_all_domains_and_keeps_it_up_to_date() {
    let bed = Bed::up();
    let before = downloads(&bed);
    bed.infra(TWO);
    bed.anklume(&["image", "list"]).says(&["images:debian/13", "not here yet"]);
    bed.apply(&[]).says(&["create image images:debian/13", "create image images:alpine/3.20"]);
    assert_eq!(downloads(&bed), before + 2, "one for each image, not for each domain");
    let listed = bed.anklume(&["image", "list", "--format", "json"]).json();
    let debian = listed.as_array().unwrap().iter().find(|row| row["image"] == "images:debian/13").unwrap().clone();
    assert_eq!((&debian["machines"], &debian["auto_update"]), (&3.into(), &true.into()));
    // No project has images of its own.
    for project in ["a", "b"] {
        let own = bed.incus(&format!("/1.0/projects/{project}"));
        assert_eq!(own["config"]["features.images"], "false");
    }

    // A newer one appears on the server.
    bed.sh("python3 $ANKLUME_BED/make-images /run/bed/images --serial 2 --only debian/13 && rm -f /var/cache/incus/*/i*.json").ok();
    let refreshed = bed.anklume(&["image", "refresh"]);
    refreshed.says(&["images:debian/13 is newer now", "3 machines are made from an older image"]);
    bed.anklume(&["image", "list"]).says(&["3 of them from an older one"]);
    bed.plan_is_empty();
    bed.anklume(&["destroy", "b1", "--yes"]);
    bed.apply(&[]);
    bed.guest("b", "b1", "cat /etc/image-serial").ok().says(&["2"]);
    bed.guest("a", "a1", "cat /etc/image-serial").ok().says(&["1"]);

    // What nobody uses any more goes on request.
    bed.anklume(&["image", "prune", "--yes"]).says(&["every image that anklume keeps is in use"]);
    bed.infra(&TWO.replace(", a2: {os_image: images:alpine/3.20}", ""));
    bed.apply(&["--prune"]);
    bed.try_anklume(&["image", "prune"]).code(1).says(&["- images:alpine/3.20", "say `--yes`"]);
    bed.anklume(&["image", "prune", "--yes"]);
    bed.anklume(&["image", "list"]).says(&["images:debian/13"]).says_not(&["alpine"]);
    bed.try_anklume(&["image", "refresh", "images:nothing"]).code(1).says(&["no image `images:nothing` in the cache"]);
}

#[test]
fn coverage_17_image_export_and_import_serve_hosts_without_a_network() {
    let bed = Bed::up();
    bed.infra(&with_repository());
    bed.anklume(&["plan"]).says(&["warning: the image repository cannot be read", "`anklume image export` makes it"]);
    bed.anklume(&["image", "export"]).says(&["2 in /srv/images."]);
    bed.sh("ls /srv/images/images/debian/13 /srv/images/images/alpine/3.20")
        .ok()
        .says(&["container", "container.root"]);
    bed.sh("incus image delete anklume/images/debian/13; incus image delete anklume/images/alpine/3.20").ok();
    // The image server is out of reach; the repository is enough.
    bed.sh("nft 'add table ip cut; add chain ip cut out { type filter hook output priority 0; }; add rule ip cut out ip daddr 203.0.113.80 reject'").ok();
    bed.anklume(&["plan"]).says(&["image images:debian/13  (from the image repository)"]);
    bed.apply(&[]);
    bed.plan_is_empty();
    bed.guest("a", "a2", "cat /etc/os-release").ok().says(&["ID=alpine"]);
    bed.anklume(&["image", "list"]).says(&["from a file, in the repository"]);
    bed.anklume(&["image", "refresh"]).says(&["came from a file: there is no server to ask"]);

    // Another host: nothing in the cache, the same directory.
    bed.anklume(&["destroy", "--yes"]);
    bed.anklume(&["image", "import", "--from", "/srv/images"]).says(&["0 imported, 2 were here."]);
    bed.sh("incus image delete anklume/images/debian/13").ok();
    bed.anklume(&["image", "import"]).says(&["1 imported, 1 were here."]);
    // Without the repository, and without the network, there is nothing to make machines from.
    bed.infra(TWO);
    // (Incus's client would remember the server's list for an hour.)
    bed.sh("incus image delete anklume/images/debian/13; rm -rf ${INCUS_CACHE:?}/*").ok();
    bed.try_anklume(&["apply", "--yes"]).code(2).says(&["the image `images:debian/13` cannot be asked for"]);
    bed.infra(&TWO.replace("images:debian/13", "golden"));
    bed.try_anklume(&["plan"]).code(2).says(&["there is no image `golden` on this host"]);
}
