//! `anklume upgrade images`: newer images, and the machines that are made from older ones.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cli::Global;
use crate::commands::{DONE, Ground, apply, image, lock};
use crate::failure::Unfinished;
use crate::incus::call::Call;
use crate::incus::door::{ThisHost, json};
use crate::lifecycle::upgrade::images::{self, Made};
use crate::resolve::desired::Desired;
use crate::ui::Ui;

/// List, question, refresh, list of machines.
pub(super) async fn run(global: &Global, yes: bool, ui: Ui) -> Result<ExitCode> {
    let _lock = lock::take("upgrade")?;
    let ground = Ground::read(global, false, ui).await?;
    let cache = image::cache().await?;
    let served = cache.images.iter().filter(|(_, cached)| cached.auto_update);
    let lines =
        served.map(|(name, cached)| format!("~ refresh image {}  (made {})\n", image::shown(name), cached.made));
    let lines: String = lines.collect();
    if lines.is_empty() {
        ui.say("No image here comes from a server.");
    } else {
        ui.print(lines);
        if !yes && !apply::agreed(ui, "Ask their servers for newer ones?")? {
            return Err(Unfinished("no image was asked for".into()).into());
        }
        image::refresh(&ground, &[], ui).await?;
    }
    let older: Vec<Made> = made(&ground.desired).await?.into_iter().filter(Made::is_older).collect();
    tell(&older, ui);
    Ok(DONE)
}

/// What the machines of the file were made from.
pub(super) async fn made(desired: &Desired) -> Result<Vec<Made>> {
    let images = Call::query("/1.0/images?recursion=1&project=default");
    let instances = Call::query("/1.0/instances?recursion=1&all-projects=true");
    let (images, instances) = tokio::join!(json(&ThisHost, &images), json(&ThisHost, &instances));
    let told = "the images cannot be read";
    Ok(images::made(desired, &images.context(told)?, &instances.context(told)?))
}

fn tell(older: &[Made], ui: Ui) {
    for made in older {
        let Made { domain, name, image, day, .. } = made;
        let from: String = made.from.iter().flat_map(|from| from.chars()).take(12).collect();
        ui.print(format!("{domain}  {name}  is made from {image} {from}; the one of {day} is newer\n"));
    }
    if older.is_empty() {
        ui.say("No machine is made from an older image.");
    } else {
        ui.say("`anklume upgrade --rebuild NAME` makes one anew from the newer image");
    }
}
