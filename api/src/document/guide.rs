//! The guide for merchants' developers: pages of `docs` that need no script, and the samples that they name, beside the reference.

use std::fmt::Write;
use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_SECURITY_POLICY;
use actix_web::web::{Bytes, ServiceConfig};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use crate::routes::get;

/// Name below `/docs/`, and text.
const PAGES: [(&str, &str); 3] = [
    ("quickstart", include_str!("../../../docs/quickstart.md")),
    ("api", include_str!("../../../docs/api.md")),
    ("webhooks", include_str!("../../../docs/webhooks.md")),
];
/// Builds the list of the samples: place below `docs` and below `/docs/`, and text.
macro_rules! samples {
    ($($place:literal),+ $(,)?) => {
        [$(($place, include_str!(concat!("../../../docs/", $place)))),+]
    };
}

const SAMPLES: [(&str, &str); 6] = samples![
    "samples/webhooks/python/receiver.py",
    "samples/webhooks/node/receiver.mjs",
    "samples/webhooks/node/v1a.mjs",
    "samples/webhooks/go/receiver.go",
    "samples/webhooks/php/receiver.php",
    "samples/webhooks/java/Receiver.java",
];
/// Least likeness (Jaro-Winkler) of a misspelt page.
const SIMILAR: f64 = 0.85;
/// The pages load nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
const STYLE: &str = include_str!("guide.css");

static HTML: LazyLock<[Bytes; PAGES.len()]> =
    LazyLock::new(|| PAGES.map(|(_, text)| Bytes::from(page(text))));

/// Adds a route for each page and each sample.
pub(super) fn routes(config: &mut ServiceConfig) {
    for (place, (name, _)) in PAGES.into_iter().enumerate() {
        let show = move || async move {
            HttpResponse::Ok()
                .insert_header((CONTENT_SECURITY_POLICY, POLICY))
                .content_type("text/html; charset=utf-8")
                .body(HTML[place].clone())
        };
        config.route(&format!("/docs/{name}"), get().to(show));
    }
    for (place, text) in SAMPLES {
        let show = move || async move {
            HttpResponse::Ok()
                .insert_header((CONTENT_SECURITY_POLICY, POLICY))
                .content_type("text/plain; charset=utf-8")
                .body(Bytes::from_static(text.as_bytes()))
        };
        config.route(&format!("/docs/{place}"), get().to(show));
    }
}

/// Returns the page or the section that was probably meant by a name below `/docs/`, as a URL.
pub(super) fn nearest(name: &str) -> Option<String> {
    let name = name.trim_end_matches(".md").trim_end_matches(".html");
    let likeness = |known: &str| strsim::jaro_winkler(&name.to_ascii_lowercase(), known);
    let pages = PAGES
        .iter()
        .map(|(page, _)| (*page, format!("/docs/{page}")));
    let places = SECTIONS.iter().map(|section| {
        let anchor = section.split_once('#').map_or("", |(_, anchor)| anchor);
        (anchor, section.clone())
    });
    let near = pages
        .chain(places)
        .map(|(known, url)| (likeness(known), url));
    let near = near.filter(|(likeness, _)| *likeness >= SIMILAR);
    // The first of several: a page before a section.
    let best = near.reduce(|best, other| if other.0 > best.0 { other } else { best });
    best.map(|(_, url)| url)
}

/// Returns the page as HTML, with links to its sections.
fn page(text: &str) -> String {
    let mut events: Vec<Event<'_>> = Parser::new_ext(text, Options::ENABLE_TABLES).collect();
    let mut title = String::new();
    let mut sections = String::new();
    for place in 0..events.len() {
        let heading = match &events[place] {
            Event::Start(Tag::Heading { level, .. }) => Some(*level),
            _ => None,
        };
        if let Some(level) = heading {
            let heading = heading_text(&events[place + 1..]);
            let anchor = anchor(&heading);
            match level {
                HeadingLevel::H1 => title.push_str(&escaped(&heading)),
                HeadingLevel::H2 => {
                    let heading = escaped(&heading);
                    let _ = write!(sections, r##"<li><a href="#{anchor}">{heading}</a>"##);
                }
                _ => {}
            }
            if let Event::Start(Tag::Heading { id, .. }) = &mut events[place] {
                *id = Some(CowStr::from(anchor));
            }
        } else if let Event::Start(Tag::Link { dest_url, .. }) = &mut events[place] {
            *dest_url = target(dest_url).unwrap_or_default().into();
        }
    }
    remove_empty_links(&mut events);
    let mut body = String::new();
    html::push_html(&mut body, events.into_iter());
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} – Khata</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\
         <style>{STYLE}</style></head><body><nav><p><a href=\"./\">Reference</a> <a href=\"quickstart\">Quickstarts</a> \
         <a href=\"api\">API guide</a> <a href=\"webhooks\">Webhooks</a></p><ul>{sections}</ul></nav><main>{body}</main></body></html>\n"
    )
}

/// Returns the text of the heading that begins before these events.
fn heading_text(events: &[Event<'_>]) -> String {
    let within = events
        .iter()
        .take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
    within
        .filter_map(|event| match event {
            Event::Text(text) | Event::Code(text) => Some(&**text),
            _ => None,
        })
        .collect()
}

/// Returns the anchor of a heading, as the repository's pages link to it.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let kept: String = heading.to_lowercase().chars().filter(kept).collect();
    kept.replace(' ', "-")
}

/// Returns where a link of the repository's page leads here; `None` if to a file that is not served.
fn target(link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with('#') {
        return Some(link.to_owned());
    }
    if SAMPLES.iter().any(|(place, _)| *place == link) {
        return Some(link.to_owned());
    }
    let (file, section) = link.split_once('#').unwrap_or((link, ""));
    let name = file.strip_suffix(".md")?;
    PAGES.iter().find(|(page, _)| *page == name)?;
    Some(if section.is_empty() {
        name.to_owned()
    } else {
        format!("{name}#{section}")
    })
}

/// Leaves the text alone of links that lead nowhere.
fn remove_empty_links(events: &mut Vec<Event<'_>>) {
    let mut is_removed = false;
    events.retain(|event| match event {
        Event::Start(Tag::Link { dest_url, .. }) => {
            is_removed = dest_url.is_empty();
            !is_removed
        }
        Event::End(TagEnd::Link) => !std::mem::take(&mut is_removed),
        _ => true,
    });
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// The URLs of all sections: `/docs/api#limits`.
pub(crate) static SECTIONS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut sections = Vec::new();
    for (place, (name, _)) in PAGES.iter().enumerate() {
        let html = String::from_utf8_lossy(&HTML[place]).into_owned();
        let ids = html.split(" id=\"").skip(1);
        let ids = ids.filter_map(|rest| rest.split('"').next());
        sections.extend(ids.map(|id| format!("/docs/{name}#{id}")));
    }
    sections
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_anchors_tables_and_links_to_served_pages_only() {
        let html = page(
            "# A & B\n\n## `Some` thing, here\n\n[one](api.md#limits) [two](samples/x.py) [five](samples/webhooks/python/receiver.py) [three](https://x.example/) [four](#a)\n\n| a | b |\n|---|---|\n| 1 | <2> |\n",
        );
        for part in [
            "<title>A &amp; B – Khata</title>",
            "<li><a href=\"#some-thing-here\">Some thing, here</a>",
            "<h2 id=\"some-thing-here\">",
            "<a href=\"api#limits\">one</a> two <a href=\"samples/webhooks/python/receiver.py\">five</a> <a href=\"https://x.example/\">three</a> <a href=\"#a\">four</a>",
            "<td>1</td>",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("<script"));
    }

    #[test]
    fn a_page_that_does_not_exist_is_likely_another() {
        for (name, likely) in [
            ("webhook", Some("/docs/webhooks")),
            ("webhooks.md", Some("/docs/webhooks")),
            ("Quickstarts", Some("/docs/quickstart#quickstarts")),
            ("errors", Some("/docs/api#errors")),
            ("limit", Some("/docs/api#limits")),
            ("", None),
            ("favicon.ico", None),
        ] {
            assert_eq!(nearest(name).as_deref(), likely, "{name}");
        }
    }

    #[test]
    fn every_sample_that_a_page_names_is_served() {
        for (name, text) in PAGES {
            for link in text
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split(')').next())
            {
                let is_served = SAMPLES.iter().any(|(place, _)| *place == link);
                assert!(is_served || !link.starts_with("samples/"), "{name}: {link}");
            }
        }
    }

    #[test]
    fn every_link_within_the_guide_leads_to_a_section() {
        let sections = &*SECTIONS;
        assert!(sections.len() > 30, "{sections:?}");
        for (place, (name, _)) in PAGES.iter().enumerate() {
            let html = String::from_utf8_lossy(&HTML[place]).into_owned();
            let links = html.split("href=\"").skip(1);
            for link in links.filter_map(|rest| rest.split('"').next()) {
                let Some((page, section)) = link.split_once('#') else {
                    continue;
                };
                let page = if page.is_empty() { name } else { page };
                let is_section = sections.contains(&format!("/docs/{page}#{section}"));
                assert!(is_section || link.contains("://"), "{name}: {link}");
            }
        }
    }
}
