"""Parts of a dashboard: panels, rows, variables, links and annotations, in Grafana's JSON.

Every query and variable reads the data source `$datasource`, and only series of the selected clusters and namespaces: `scoped` adds
both labels to each selector. A Prometheus that knows neither label has them as empty labels, which "All" includes.
"""

import json
import re
from urllib.parse import quote

PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}
GOOD, BAD, WARN = "green", "red", "orange"
RATE = "[$__rate_interval]"
SCOPE = 'cluster=~"$cluster", namespace=~"$namespace"'
# Series of Prometheus itself that dashboards read.
FOREIGN = ("up", "ALERTS")
# Variables that every dashboard has, passed on by a link to another one.
KEPT = "${__url_time_range}&${datasource:queryparam}&${cluster:queryparam}&${namespace:queryparam}"


def scoped(expression):
    """Adds the selected clusters and namespaces to each selector of an expression."""

    def add(found):
        return f"{found[1]}{{{SCOPE}, " if found[2] else f"{found[1]}{{{SCOPE}}}"

    return re.sub(rf"\b(khata_\w+|{'|'.join(FOREIGN)})\b(\{{)?", add, expression)


def explore(source, query):
    """Returns the address of Grafana's Explore page for one query. `source` is the kind of the data source and its variable."""
    pane = {
        "a": {
            "datasource": f"${source}",
            "queries": [{"refId": "A", "datasource": {"type": source, "uid": f"${source}"}, **query}],
            # The dashboard's own time, of an incident that is over.
            "range": {"from": "$__from", "to": "$__to"},
        }
    }
    # Grafana replaces variables in the address before it reads it, so that "$" stays. "${…}" would not be one any more.
    return f"/explore?schemaVersion=1&panes={quote(json.dumps(pane, separators=(',', ':')), safe='$')}"


def traces(query):
    return explore("tempo", {"queryType": "traceql", "query": query})


def logs(query):
    return explore("loki", {"expr": query})


def link(title, url):
    return {"title": title, "url": url, "targetBlank": True}


def to(dashboard, title, *variables):
    """Returns a link to another dashboard of Khata. `variables`: further parameters, such as `var-merchant=…`."""
    return {"title": title, "url": f"/d/khata-{dashboard}?{'&'.join([KEPT, *variables])}", "targetBlank": False}


def steps(colors):
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in colors]}


def panel(kind, title, description, unit, *queries, width=12, height=8, links=(), thresholds=((GOOD, None),), **more):
    """`queries`: pairs of an expression and its legend."""
    options = {
        "stat": {
            "reduceOptions": {"calcs": ["lastNotNull"]},
            "colorMode": "background",
            "graphMode": "area",
            "textMode": "value",
        },
        "timeseries": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "table": {"showHeader": True},
    }[kind]
    targets = []
    for place, (expression, legend) in enumerate(queries):
        target = {
            "refId": chr(ord("A") + place),
            "datasource": PROMETHEUS,
            "expr": scoped(expression),
            "legendFormat": legend,
        }
        if kind == "table":
            target |= {"instant": True, "format": "table"}
        if "_bucket" in expression:
            target["exemplar"] = True
        targets.append(target)
    defaults = {"unit": unit, "thresholds": steps(thresholds)} | more.pop("defaults", {})
    result = {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": PROMETHEUS,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": defaults, "overrides": more.pop("overrides", [])},
        "options": options,
        "targets": targets,
    }
    if links:
        result["links"] = list(links)
    if kind == "table":
        hidden = {name: True for name in ("Time", "__name__", "alertstate", "cluster", "namespace")}
        result["transformations"] = [{"id": "merge", "options": {}}, {"id": "organize", "options": {"excludeByName": hidden} | more.pop("organize", {})}]
    return result


def table(title, description, *queries, **more):
    return panel("table", title, description, "none", *queries, **more)


def cell(field, *links, unit=None):
    """Returns the links and the unit of a table's column."""
    properties = [{"id": "links", "value": list(links)}] if links else []
    properties += [{"id": "unit", "value": unit}] if unit else []
    return {"matcher": {"id": "byName", "options": field}, "properties": properties}


def stat(title, description, unit, expression, bad=None, good=None, decimals=None, **more):
    """A number that is red from `bad` on, or below `good`."""
    colors = [(GOOD, None), (BAD, bad)] if bad is not None else [(BAD, None), (GOOD, good)] if good is not None else [(GOOD, None)]
    defaults = {} if decimals is None else {"decimals": decimals}
    return panel("stat", title, description, unit, (expression, ""), width=more.pop("width", 6), height=4, thresholds=colors, defaults=defaults, **more)


def lines(title, description, unit, *queries, limit=(), high=None, **more):
    """Lines over time from zero, with dashed lines at each `limit`: the objective, or the value from which an alert fires.

    The first of two limits is a warning's. The axis reaches up to `high` at least. Without it Grafana fits the axis to the values, and
    shows a limit only when they are near to it.
    """
    colors = [(GOOD, None), *zip([WARN, BAD][-len(limit) :], limit)] if limit else [(GOOD, None)]
    custom = {"lineWidth": 1, "fillOpacity": 5}
    if high is not None:
        custom["axisSoftMax"] = high
    if limit:
        custom["thresholdsStyle"] = {"mode": "dashed"}
    return panel("timeseries", title, description, unit, *queries, thresholds=colors, defaults={"min": 0, "custom": custom}, **more)


def band(title, description, unit, *queries, limit, **more):
    """Lines over time around zero, with dashed lines at `-limit` and `limit`."""
    result = lines(title, description, unit, *queries, limit=(limit,), **more)
    defaults = result["fieldConfig"]["defaults"]
    defaults["thresholds"] = steps([(WARN, None), (GOOD, -limit), (WARN, limit)])
    del defaults["min"]
    return result


def quantiles(metric, by="", where="", of=(0.5, 0.95, 0.99)):
    labels = ", ".join(filter(None, [by, "le"]))
    legend = f"{{{{{by}}}}} " if by else ""
    selector = f"{{{where}}}" if where else ""
    return [(f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{selector}{RATE})))", f"{legend}p{q * 100:g}") for q in of]


def zero(expression, label=None):
    """Returns zero if the expression has no value; its legend says "none" for the label."""
    nothing = f'label_replace(vector(0), "{label}", "none", "", "")' if label else "vector(0)"
    return f"({expression}) or on () {nothing}"


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "gridPos": {"w": 24, "h": 1}, "panels": []}


def source(name, label):
    """A variable for a data source of this kind."""
    return {"name": "datasource" if name == "prometheus" else name, "label": label, "type": "datasource", "query": name, "refresh": 1}


def variable(name, label, query, many=True, regex=""):
    """`query` is label_values(…) or query_result(…), whose regex has the groups `value` and `text`."""
    query = scoped(query) if name not in ("cluster", "namespace") else query
    result = {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": PROMETHEUS,
        "query": {"query": query, "refId": "A"},
        "definition": query,
        "regex": regex,
        "refresh": 2,
        "sort": 1,
        "multi": many,
        "includeAll": many,
    }
    if many:
        result |= {"allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    return result


def merchants(many):
    """Returns the variable of merchants: the reader chooses a name, and queries get the id."""
    query = "query_result(max by (merchant_id, name) (last_over_time(khata_merchant_info[$__range])))"
    return variable("merchant", "Merchant", query, many, regex='/merchant_id="(?<value>[^"]+)",\\s*name="(?<text>[^"]+)"/')


def annotation(name, color, expression, title, text):
    return {
        "name": name,
        "datasource": PROMETHEUS,
        "enable": True,
        "iconColor": color,
        "expr": scoped(expression),
        "step": "60s",
        "titleFormat": title,
        "textFormat": text,
    }


def placed(panels):
    """Places panels from left to right, and begins a new line of panels when one is full."""
    x = y = tallest = 0
    for number, result in enumerate(panels, 1):
        grid = result["gridPos"]
        if x + grid["w"] > 24:
            x, y, tallest = 0, y + tallest, 0
        grid |= {"x": x, "y": y}
        x, tallest = x + grid["w"], max(tallest, grid["h"])
        result["id"] = number
    return panels


def dashboard(name, title, description, panels, variables=(), links=()):
    others = {
        "title": "Khata dashboards",
        "type": "dashboards",
        "tags": ["khata"],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "url": "",
        "tooltip": "",
    }
    build = "cluster, namespace, service, version, commit"
    critical = 'group by (cluster, namespace, alertname, gateway) (ALERTS{alertname=~"Khata.+", alertstate="firing", severity="critical"})'
    # A version that ran five minutes ago was not deployed now.
    deployed = f"group by ({build}) (khata_build_info) unless on ({build}) khata_build_info offset 5m"
    common = [
        source("prometheus", "Data source"),
        source("tempo", "Traces"),
        source("loki", "Logs"),
        variable("cluster", "Cluster", "label_values(khata_build_info, cluster)"),
        variable("namespace", "Namespace", 'label_values(khata_build_info{cluster=~"$cluster"}, namespace)'),
    ]
    return {
        "uid": f"khata-{name}",
        "title": f"Khata: {title}",
        "description": description,
        "tags": ["khata"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "graphTooltip": 1,
        "templating": {"list": common + list(variables)},
        "annotations": {
            "list": [
                annotation("Deployments", "blue", deployed, "{{service}} {{version}}", "commit {{commit}}"),
                annotation("Critical alerts", "red", critical, "{{alertname}}", "{{gateway}}"),
            ]
        },
        "links": [others] + [{"type": "link", "icon": "external link", **result} for result in links],
        "panels": placed(panels),
    }
