//! A plan as a tree by domain, for people.

use super::{Group, groups, totals_line};
use crate::incus::secrets;
use crate::infra::model::TrustLevel;
use crate::plan::{Action, Field, Held, Id, Impact, Kind, Plan, Verb};
use crate::resolve::desired::Desired;
use crate::ui::{Style, Surface};

/// The whole plan, its last line the totals.
pub(crate) fn plan(plan: &Plan, desired: &Desired, surface: &Surface) -> String {
    let mut text = tree(plan, desired, surface);
    text.push_str(&surface.paint(Style::Bold, totals_line(plan)));
    text.push('\n');
    text
}

/// What `destroy` would delete, its last line the count.
pub(crate) fn destruction(plan: &Plan, desired: &Desired, surface: &Surface) -> String {
    format!("{}{}\n", tree(plan, desired, surface), deletions(plan, surface))
}

/// The same by the marks alone, without a file that could have the domains or not.
pub(crate) fn flush(plan: &Plan, surface: &Surface) -> String {
    let mut text = String::new();
    for group in groups(plan, &Desired::default()) {
        let name = if group.name.is_empty() { "host" } else { group.name };
        text.push_str(&format!("{}\n", surface.paint(Style::Bold, name)));
        text.push_str(&lines(&group, surface));
    }
    format!("{text}{}\n", deletions(plan, surface))
}

fn deletions(plan: &Plan, surface: &Surface) -> String {
    let mut line = match plan.count('-') {
        0 => "Nothing to delete".to_owned(),
        count => format!("{count} to delete"),
    };
    if !plan.held.is_empty() {
        line.push_str(&format!("; {} stay", plan.held.len()));
    }
    line.push('.');
    surface.paint(Style::Bold, line)
}

fn tree(plan: &Plan, desired: &Desired, surface: &Surface) -> String {
    let mut text = String::new();
    for group in groups(plan, desired) {
        text.push_str(&heading(&group, surface));
        text.push_str(&lines(&group, surface));
    }
    text
}

fn lines(group: &Group<'_>, surface: &Surface) -> String {
    let actions: String = group.actions.iter().map(|action| self::action(action, surface)).collect();
    let held: String = group.held.iter().map(|held| self::held(held, surface)).collect();
    format!("{actions}{held}\n")
}

/// Every action's exact commands, as typed in a shell.
pub(crate) fn commands(plan: &Plan) -> String {
    let mut text = String::new();
    let mut secret = false;
    for action in &plan.actions {
        text.push_str(&format!("# {} {}\n", action.verb.word(), action.id));
        for call in &action.calls {
            let shown = call.shell(secrets::digest_of_secret);
            secret |= shown != call.shell(|_, _| None);
            text.push_str(&shown);
            text.push('\n');
        }
        text.push('\n');
    }
    if secret {
        text.push_str("# Values that can be secrets are shown as their length and digest.\n");
    }
    text
}

/// The style of a trust level: the colours of the domains.
pub(crate) fn trust_style(trust: TrustLevel) -> Style {
    match trust {
        TrustLevel::Admin => Style::Blue,
        TrustLevel::Trusted => Style::Green,
        TrustLevel::SemiTrusted => Style::Yellow,
        TrustLevel::Untrusted => Style::Red,
        TrustLevel::Disposable => Style::Magenta,
    }
}

/// The word for a trust level, as the file writes it.
pub(crate) fn trust_word(trust: TrustLevel) -> &'static str {
    match trust {
        TrustLevel::Admin => "admin",
        TrustLevel::Trusted => "trusted",
        TrustLevel::SemiTrusted => "semi-trusted",
        TrustLevel::Untrusted => "untrusted",
        TrustLevel::Disposable => "disposable",
    }
}

fn heading(group: &Group<'_>, surface: &Surface) -> String {
    match group.domain {
        Some(domain) => {
            let name = surface.paint(trust_style(domain.trust), &domain.name);
            format!("{name}  {}, {}\n", trust_word(domain.trust), domain.subnet)
        }
        None if group.name.is_empty() => format!("{}\n", surface.paint(Style::Bold, "host")),
        None => format!("{}  not in the file\n", surface.paint(Style::Bold, group.name)),
    }
}

fn action(action: &Action, surface: &Surface) -> String {
    let sign = action.verb.sign();
    let style = match sign {
        '+' => Style::Green,
        '-' => Style::Red,
        _ => Style::Yellow,
    };
    let mut line = format!("  {} ", surface.paint(style, sign));
    if !matches!(action.verb, Verb::Create | Verb::Update | Verb::Delete) {
        line.push_str(action.verb.word());
        line.push(' ');
    }
    line.push_str(&name(&action.id, &action.domain));
    if !action.note.is_empty() {
        line.push_str(&surface.paint(Style::Dim, format!("  ({})", action.note)));
    }
    if action.impact == Impact::Restart {
        line.push_str(&surface.paint(Style::Yellow, "  restarts"));
    }
    line.push('\n');
    let told = action.fields.iter().filter(|field| action.verb != Verb::Create || is_told(&action.id, field));
    line + &fields(&told.collect::<Vec<_>>(), surface)
}

/// Of what every domain gets in the same way, the note on its line says what there is to know.
fn is_told(id: &Id, field: &Field) -> bool {
    match id.kind {
        Kind::Project => field.key.starts_with("limits."),
        Kind::File | Kind::Service | Kind::Zone | Kind::Network | Kind::Record | Kind::Image | Kind::Snapshot => false,
        Kind::Profile => id.name != "default",
        Kind::Package | Kind::Pool | Kind::Firewall | Kind::Acl | Kind::Directory | Kind::Volume | Kind::Instance => {
            true
        }
    }
}

/// `profile default` within its own domain, where it is clear whose it is.
fn name(id: &Id, domain: &str) -> String {
    if domain.is_empty() { id.to_string() } else { format!("{} {}", id.kind, id.name) }
}

fn held(held: &Held, surface: &Surface) -> String {
    let style = if held.why.left_the_file() { Style::Dim } else { Style::Red };
    let name = name(&held.id, &held.domain);
    let line = format!("  {} {name}  {}\n", surface.paint(style, '!'), surface.paint(style, &held.message));
    line + &fields(&held.fields.iter().collect::<Vec<_>>(), surface)
}

fn fields(fields: &[&Field], surface: &Surface) -> String {
    let width = fields.iter().map(|field| field.key.len()).max().unwrap_or_default().min(32);
    let mut text = String::new();
    for field in fields {
        let key = format!("{:width$}", field.key);
        let value = match (&field.before, &field.after) {
            (None, Some(after)) => short(after),
            (Some(before), Some(after)) => format!("{} → {}", short(before), short(after)),
            (Some(before), None) => format!("{} → {}", short(before), surface.paint(Style::Dim, "(unset)")),
            (None, None) => String::new(),
        };
        let impact = match &field.impact {
            Impact::Live => "",
            Impact::Restart => "  restart",
            Impact::Rebuild(_) => "  rebuild",
            Impact::Refused(_) => "  refused",
        };
        let line = format!("      {}  {value}{}", surface.paint(Style::Dim, key), surface.paint(Style::Yellow, impact));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A value on one line.
fn short(value: &str) -> String {
    const LIMIT: usize = 100;
    let line = value.replace('\n', "⏎");
    if line.chars().count() <= LIMIT {
        return line;
    }
    let start: String = line.chars().take(LIMIT - 1).collect();
    format!("{start}… ({} bytes)", value.len())
}
