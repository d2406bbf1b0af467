//! The call that a merchant probably meant by a path that does not exist.

use utoipa::openapi::OpenApi;

/// Largest distance of a path that a merchant may have meant: one part more or less, or misspelt names.
const NEAR: f64 = 1.0;
/// Distance of a part more or less.
const PART: f64 = 0.8;
/// Distance of any text to a parameter: a name that fits is nearer.
const PARAMETER: f64 = 0.1;
/// Distance of a path that exists with other methods.
const OTHER_METHOD: f64 = 0.3;

/// Distance of two names that have nothing in common.
const FAR: f64 = 2.0;
/// Bytes of a part that is longer than any name.
const LONG: usize = 64;

/// A path of the document.
#[derive(Debug)]
pub(super) struct Call {
    path: String,
    methods: Vec<&'static str>,
}

/// Returns the paths of the document.
pub(super) fn calls(document: &OpenApi) -> Vec<Call> {
    let paths = document.paths.paths.iter();
    let calls = paths.map(|(path, item)| {
        let methods = [("GET", item.get.is_some()), ("POST", item.post.is_some())];
        let methods = methods.into_iter().filter(|(_, exists)| *exists);
        Call {
            path: path.clone(),
            methods: methods.map(|(method, _)| method).collect(),
        }
    });
    calls.collect()
}

/// Returns the call that is nearest to this one, as `POST /customers/{customer_id}/accounts`; `None` if no call is near.
pub(super) fn nearest(calls: &[Call], method: &str, path: &str) -> Option<String> {
    // A longer path than any call's costs time and is none of them.
    let wanted: Vec<&str> = parts(path).take(12).collect();
    let distances = calls.iter().map(|call| {
        let known: Vec<&str> = parts(&call.path).collect();
        let has_method = call.methods.contains(&method);
        let other = if has_method { 0.0 } else { OTHER_METHOD };
        (distance(&wanted, &known) + other, call)
    });
    let (least, call) = distances.min_by(|(a, _), (b, _)| a.total_cmp(b))?;
    let methods = call.methods.join(" or ");
    (least <= NEAR).then(|| format!("{methods} {}", call.path))
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// Returns the edit distance of two paths by their parts.
fn distance(wanted: &[&str], known: &[&str]) -> f64 {
    let mut before: Vec<f64> = vec![0.0];
    for _ in known {
        before.push(before.last().unwrap_or(&0.0) + PART);
    }
    for one in wanted {
        let mut row = vec![before[0] + PART];
        for (place, other) in known.iter().enumerate() {
            let same = before[place] + difference(one, other);
            let more = before[place + 1] + PART;
            row.push(same.min(more).min(row[place] + PART));
        }
        before = row;
    }
    before.last().copied().unwrap_or(0.0)
}

fn difference(wanted: &str, known: &str) -> f64 {
    if known.starts_with('{') {
        return PARAMETER;
    }
    if wanted.len() > LONG {
        return FAR;
    }
    // Half of the letters agree by chance.
    let likeness = strsim::jaro_winkler(&wanted.to_ascii_lowercase(), known);
    (1.0 - likeness) * FAR
}
