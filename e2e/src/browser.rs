//! A headless Chromium, driven over WebDriver. It reaches 127.0.0.1 only.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use fantoccini::elements::Element;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::deadline::{TIMEOUT, eventually};
use crate::process::{Process, installed_program};
use crate::settings::settings;

/// Member that holds an element's id (W3C WebDriver, *Elements*).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    folder: PathBuf,
    // The browser ends with its driver: see --remote-debugging-pipe.
    _driver: Process,
}

impl Browser {
    /// Starts a browser that writes its files into this folder.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let home = folder.join("browser");
        std::fs::create_dir_all(&home)?;
        let own = settings(&[
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("HOME", &home.to_string_lossy()),
        ]);
        let program = installed_program("chromedriver")?;
        let log = folder.join("chromedriver.log");
        let mut driver = Process::start_file(&program, &["--port=0"], &own, &log)?;
        let port = driver.wait_for_log(|log| {
            let (_, rest) = log.split_once("started successfully on port ")?;
            rest.split_once('.')?.0.parse::<u16>().ok()
        });
        let port = port.await?;
        let chromium = installed_program("chromium")?;
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(&chromium, &home.join("profile")))
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .context("the browser does not start")?;
        Ok(Self {
            client,
            folder: folder.to_owned(),
            _driver: driver,
        })
    }

    pub async fn open(&self, url: &str) -> anyhow::Result<()> {
        Ok(self.client.goto(url).await?)
    }

    /// Waits for a visible element that this CSS selector finds, and returns the first.
    pub async fn find(&self, css: &str) -> anyhow::Result<Element> {
        self.find_with_text(css, "").await
    }

    /// Waits for a visible element that this CSS selector finds and that contains this text, and returns the first.
    pub async fn find_with_text(&self, css: &str, text: &str) -> anyhow::Result<Element> {
        let script = "return [...document.querySelectorAll(arguments[0])]
            .find(one => one.checkVisibility() && one.textContent.includes(arguments[1]))";
        eventually(TIMEOUT, &format!("{css} with \"{text}\""), async || {
            let found = self.run(script, &[css, text]).await?;
            let id = found[ELEMENT].as_str().map(str::to_owned);
            anyhow::Ok(id.map(|id| Element::from_element_id(self.client.clone(), id.into())))
        })
        .await
    }

    /// Waits until this CSS selector finds nothing.
    pub async fn wait_until_gone(&self, css: &str) -> anyhow::Result<()> {
        let script = "return document.querySelector(arguments[0]) === null";
        eventually(TIMEOUT, &format!("no {css}"), async || {
            let gone = self.run(script, &[css]).await?;
            anyhow::Ok((gone == true).then_some(()))
        })
        .await
    }

    /// Clicks the element as soon as nothing covers it.
    pub async fn click(&self, element: &Element) -> anyhow::Result<()> {
        eventually(TIMEOUT, "a click", async || element.click().await.map(Some)).await
    }

    /// Clicks the first element that this CSS selector finds now, if any.
    pub async fn click_if_present(&self, css: &str) -> anyhow::Result<()> {
        self.run("document.querySelector(arguments[0])?.click()", &[css])
            .await
            .map(drop)
    }

    /// Replaces the text of an input by typing.
    pub async fn fill(&self, element: &Element, text: &str) -> anyhow::Result<()> {
        // Control and a, then control up: the page sees the keys of a person.
        let keys = format!("\u{e009}a\u{e000}{text}");
        Ok(element.send_keys(&keys).await?)
    }

    /// Runs a script and returns its result.
    pub async fn run(&self, script: &str, arguments: &[&str]) -> anyhow::Result<Value> {
        let arguments = arguments.iter().map(|one| (*one).into()).collect();
        Ok(self.client.execute(script, arguments).await?)
    }

    /// Writes a screenshot of the page into the folder, as `name.png`.
    pub async fn screenshot(&self, name: &str) -> anyhow::Result<()> {
        let file = self.folder.join(name).with_extension("png");
        Ok(std::fs::write(file, self.client.screenshot().await?)?)
    }

    /// Returns the warnings and errors on the page's console since the last call, failed loads included.
    pub async fn console_errors(&self) -> anyhow::Result<Vec<String>> {
        let entries = self.log("browser").await?.into_iter();
        let is_bad = |entry: &Value| entry["level"] == "SEVERE" || entry["level"] == "WARNING";
        Ok(entries
            .filter(is_bad)
            .filter_map(|entry| entry["message"].as_str().map(str::to_owned))
            .collect())
    }

    /// Returns every address that the page requested since the last call.
    pub async fn requested(&self) -> anyhow::Result<Vec<Url>> {
        let mut urls = Vec::new();
        for entry in self.log("performance").await? {
            let text = entry["message"].as_str().unwrap_or_default();
            let event: Value = serde_json::from_str(text)?;
            let event = &event["message"];
            if event["method"] == "Network.requestWillBeSent" {
                let url = event["params"]["request"]["url"].as_str();
                urls.push(url.context("a request without an address")?.parse()?);
            }
        }
        Ok(urls)
    }

    async fn log(&self, kind: &'static str) -> anyhow::Result<Vec<Value>> {
        let log = self.client.issue_cmd(ReadLog { kind }).await?;
        Ok(log.as_array().cloned().unwrap_or_default())
    }
}

/// Chromedriver's command that returns a log and clears it.
#[derive(Debug)]
struct ReadLog {
    kind: &'static str,
}

impl WebDriverCompatibleCommand for ReadLog {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, <Url as FromStr>::Err> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({ "type": self.kind }).to_string()))
    }
}

fn capabilities(program: &Path, profile: &Path) -> Capabilities {
    let profile = format!("--user-data-dir={}", profile.display());
    let arguments = [
        "--headless=new",
        // Chromium's sandbox does not work for root; the browser loads our own pages only.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-proxy-server",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        // The browser ends when the driver's end of the pipe closes, even if the driver is killed.
        "--remote-debugging-pipe",
        "--window-size=1280,1600",
        &profile,
    ];
    let capabilities = json!({
        "browserName": "chrome",
        "goog:chromeOptions": { "binary": program, "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
    });
    capabilities.as_object().cloned().unwrap_or_default()
}
