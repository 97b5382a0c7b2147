//! `anklume firewall explain`: may one end talk to another, by which policy and which rule.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cli::{ExplainArgs, Format, Global};
use crate::commands::{DONE, Ground};
use crate::failure::{Hinted, WrongInput};
use crate::firewall::explain::ends::{self, Named};
use crate::firewall::explain::traffic::Traffic;
use crate::firewall::explain::{self, Question, Unanswered, told};
use crate::firewall::words;
use crate::host::routes;
use crate::incus::door::ThisHost;
use crate::infra::Loaded;
use crate::infra::near::nearest;
use crate::infra::problem::Path;
use crate::resolve::desired::Desired;
use crate::resolve::policies;
use crate::ui::Ui;

/// Reads the file, Incus and the table, and answers: 0 where all that was asked about is allowed, 1 where it is not.
pub(crate) async fn run(global: &Global, args: &ExplainArgs, ui: Ui) -> Result<ExitCode> {
    let ground = Ground::read(global, false, ui).await?;
    let live = ground.live.table.known()?;
    let named = |word: &str| ends::named(word, &ground.desired).ok_or_else(|| unknown(word, &ground.desired, ui));
    let (from, to) = (named(&args.from)?, named(&args.to)?);
    let mut ways = BTreeMap::new();
    for end in [&from, &to] {
        if let Named::Address(address) = end {
            let route = routes::to(&ThisHost, *address).await.context("the routes of this host cannot be read")?;
            ways.extend(route.map(|route| (*address, route)));
        }
    }
    let uplink = routes::uplink(&ThisHost).await.context("the routes of this host cannot be read")?;
    let question = Question { from, to, traffic: args.traffic.clone().unwrap_or(Traffic::Everything) };
    let known = explain::Ground { desired: &ground.standing(), live, uplink: uplink.as_deref(), routes: &ways };
    let answer = explain::answer(&question, known).map_err(|why| unanswered(&why))?;
    let places = places(&ground.loaded);
    ui.print(match args.format {
        Format::Text => told::text(&answer, &places, &ui.out),
        Format::Json => told::json(&answer, &places),
    });
    Ok(if answer.is_allowed() { DONE } else { ExitCode::FAILURE })
}

fn unknown(word: &str, desired: &Desired, ui: Ui) -> WrongInput {
    let message = format!("`{word}` is no domain or machine of the file, no address, and not `host` or `outside`");
    let near = nearest(word, ends::names(desired)).map(|near| format!("did you mean `{near}`?"));
    WrongInput::plain(&message, Some(&near.unwrap_or_else(|| "`anklume status` lists them".into())), &ui.err)
}

fn unanswered(why: &Unanswered) -> anyhow::Error {
    let hint = match why {
        Unanswered::Unclear(_) => {
            "`anklume firewall show` tells what was changed in the table; `anklume apply` makes it anew"
        }
        Unanswered::Nowhere(_) => "`ip route` shows the routes; is the address right?",
        Unanswered::Families => "ask about two addresses of one family",
    };
    Hinted::new(format!("it cannot be told: {why}"), hint).into()
}

/// Where each policy stands in the file, by the comment that its rules carry.
fn places(loaded: &Loaded) -> told::Places {
    let mut places = told::Places::new();
    for (number, policy) in loaded.infra.network_policies.iter().enumerate() {
        let Some(place) = loaded.sources.line(&Path::of(["network_policies"]).to(number)) else { continue };
        let both = if policy.bidirectional { vec![false, true] } else { vec![false] };
        for backwards in both {
            // Of two that say the same the first one decides.
            places.entry(words::comment(&policies::told(policy, backwards))).or_insert_with(|| place.clone());
        }
    }
    places
}
