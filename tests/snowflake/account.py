"""A made-up Snowflake account: databases, schemas and stages, with the files in folders.

It answers the statements about stages and objects in the connector's own wire format. How it reads
names is written for itself, so that a mistake in ours is seen.
"""

import hashlib
import re
import shutil
import tempfile
import uuid
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

TEXT = {"type": "TEXT", "nullable": True, "scale": None, "precision": None, "length": 16777216}
NUMBER = {"type": "FIXED", "nullable": True, "scale": 0, "precision": 38, "length": None}
STRING = r"'((?:[^'\\]|\\.|'')*)'"
NAME = r'(?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
NAMES = rf"({NAME}(?:\.{NAME})*)"
FACTS = {
    "account": "FAKESNOW",
    "user": "TESTER",
    "role": "ANALYST",
    "warehouse": "TEST_WH",
    "database": "CS",
    "schema": "APP",
}


class SqlError(Exception):
    """An error that Snowflake answers instead of a result."""

    def __init__(self, code, state, message):
        super().__init__(message)
        self.code, self.state, self.message = code, state, message


@dataclass
class Damage:
    """Something that goes wrong a number of times with statements that fit a pattern."""

    pattern: str
    times: int
    error: SqlError | None = None
    kept: float | None = None
    """Share of a fetched file that arrives, where the transfer breaks off."""
    after: int = 0
    """How many times it goes well before."""

    def strikes(self, text):
        if self.times <= 0 or not re.search(self.pattern, text, re.IGNORECASE | re.DOTALL):
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Account:
    """All objects, the statements that were sent, and what is to go wrong."""

    folder: Path
    objects: dict = field(default_factory=dict)
    """Schemas by database, stages by schema."""
    warehouses: list = field(default_factory=lambda: ["TEST_WH", "big wh"])
    pools: list = field(default_factory=lambda: ["CS_POOL"])
    statements: list = field(default_factory=list)
    damages: list = field(default_factory=list)
    http: str = ""
    """Where files are fetched from over HTTP; from their folder where empty."""

    def make_stage(self, database, schema, stage):
        """Make a stage with what it lies in, and return the folder of its files."""
        self.objects.setdefault(database, {}).setdefault(schema, set()).add(stage)
        return self.files((database, schema, stage))

    def files(self, names):
        folder = self.folder / hashlib.sha256(repr(names).encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def fail(self, pattern, code, message, *, state="42000", after=0):
        """Refuse statements that fit a pattern, but for the first few."""
        error = SqlError(code, state, message)
        self.damages.append(Damage(pattern, 1_000_000, error, after=after))

    def cut(self, pattern, times, kept=0.5):
        """Let fetched files break off after a share of their bytes."""
        self.damages.append(Damage(pattern, times, kept=kept))

    def reset(self):
        self.statements.clear()
        self.damages.clear()
        self.http = ""

    def answer(self, sql):
        """Return an answer in wire format, or None if the statement is not about our objects."""
        self.statements.append(sql.strip())
        for damage in self.damages:
            if damage.error and damage.strikes(sql):
                raise damage.error
        for pattern, method in STATEMENTS:
            if found := re.fullmatch(rf"\s*{pattern}\s*;?\s*", sql, re.IGNORECASE | re.DOTALL):
                return method(self, *found.groups())
        return None

    # stages

    def locate(self, written):
        """Return folder, path and listed prefix of an address in an SQL string."""
        address = unescape(written)
        if address.startswith("@~"):
            return self.files(("~",)), address[2:].lstrip("/"), ""
        found = re.match(rf"@((?:{NAME}\.)*)(%?)({NAME})(?:/(.*))?$", address, re.DOTALL)
        if not found:
            raise SqlError("001003", "42000", f"SQL compilation error:\nsyntax error: {address}")
        spaces, table, last, path = found.groups()
        names = [*map(identifier, re.findall(NAME, spaces)), identifier(last)]
        names = [*[FACTS["database"], FACTS["schema"]][: 3 - len(names)], *names]
        database, schema, stage = names
        if table:
            return self.files(("%", *names)), path or "", ""
        if stage not in self.objects.get(database, {}).get(schema, ()):
            raise SqlError(
                "002003",
                "02000",
                f"SQL compilation error:\nStage '{database}.{schema}.{stage}' does not exist or "
                "not authorized.",
            )
        return self.files((database, schema, stage)), path or "", f"{stage.lower()}/"

    def matching(self, written, pattern=None):
        """Yield path and listed name of files whose path begins with the address's, as LIST."""
        folder, path, prefix = self.locate(written)
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder).as_posix()
            if not file.is_file() or not inside.startswith(path):
                continue
            listed = prefix + inside
            if pattern is None or re.fullmatch(unescape(pattern), listed, re.DOTALL):
                yield file, listed

    def list_files(self, written):
        rows = [
            (
                listed,
                file.stat().st_size,
                hashlib.md5(str(file.stat()).encode()).hexdigest(),
                formatdate(file.stat().st_mtime, usegmt=True),
            )
            for file, listed in self.matching(written)
        ]
        return table(
            [("name", TEXT), ("size", NUMBER), ("md5", TEXT), ("last_modified", TEXT)], rows
        )

    def remove_files(self, written, pattern):
        rows = []
        for file, listed in list(self.matching(written, pattern)):
            file.unlink()
            rows.append((listed, "removed"))
        return table([("name", TEXT), ("result", TEXT)], rows)

    def put(self, source, written, options):
        folder, path, _ = self.locate(written)
        target = folder / path
        target.mkdir(parents=True, exist_ok=True)
        return transfer(
            command="UPLOAD",
            src_locations=[unescape(source).removeprefix("file://")],
            autoCompress=option(options, "auto_compress", "true") == "true",
            sourceCompression=option(options, "source_compression", "auto_detect"),
            overwrite=option(options, "overwrite", "false") == "true",
            stageInfo={"locationType": "LOCAL_FS", "location": str(target), "creds": {}},
            encryptionMaterial=None,
        )

    def get(self, written, target, options):
        files = [self._on_the_way(file, listed) for file, listed in self.matching(written)]
        # absolute paths below "/" are read in pieces, as from a real storage
        stage = {"locationType": "LOCAL_FS", "location": "/", "creds": {}}
        urls = None
        if self.http:
            stage = {"locationType": "GCS", "location": "bucket/", "creds": {}, "presignedUrl": ""}
            urls = [f"{self.http}/transfer{file}" for file in files]
        return transfer(
            command="DOWNLOAD",
            src_locations=[str(file) for file in files],
            localLocation=unescape(target).removeprefix("file://"),
            parallel=int(option(options, "parallel", "10")),
            stageInfo=stage,
            presignedUrls=urls,
            encryptionMaterial=[],
        )

    def _on_the_way(self, file, listed):
        for damage in self.damages:
            if damage.kept is not None and not self.http and damage.strikes(listed):
                short = Path(tempfile.mkdtemp(dir=self.folder)) / file.name
                shutil.copyfile(file, short)
                with short.open("r+b") as part:
                    part.truncate(int(file.stat().st_size * damage.kept))
                return short
        return file

    # objects

    def create(self, kind, names, _options):
        *inside, name = map(identifier, re.findall(NAME, names))
        if kind.upper() == "DATABASE":
            self.objects.setdefault(name, {"PUBLIC": set()})
        elif kind.upper() == "SCHEMA":
            self.objects[inside[0]].setdefault(name, set())
        else:
            self.make_stage(*inside, name)
        return table([("status", TEXT)], [(f"{kind} {name} successfully created.",)])

    def grant(self, _what):
        return table([("status", TEXT)], [("Statement executed successfully.",)])

    def one_pool(self):
        """Answer for the pool of a bound name: which one it is cannot be seen in the text."""
        columns = [
            ("name", TEXT),
            ("state", TEXT),
            ("instance_family", TEXT),
            ("max_nodes", NUMBER),
        ]
        return table(columns, [(self.pools[0], "ACTIVE", "CPU_X64_M", 4)])

    def describe(self, *_):
        return table([("parent_property", TEXT), ("property", TEXT)], [("STAGE_LOCATION", "URL")])

    def show(self, kind, place, limit):
        kind, inside = kind.upper(), [identifier(name) for name in re.findall(NAME, place or "")]
        if kind == "DATABASES":
            names = self.objects
        elif kind == "WAREHOUSES":
            names = self.warehouses
        elif kind == "COMPUTE POOLS":
            names = self.pools
        else:
            names = self.objects
            for name in inside:
                if name not in names:
                    raise SqlError(
                        "002043", "02000", f"SQL compilation error:\n'{name}' is not there"
                    )
                names = names[name]
        # in no particular order, so that ours is seen
        rows = [("2026-01-01 00:00:00", name) for name in sorted(names, reverse=True)]
        return table([("created_on", TEXT), ("name", TEXT)], rows[: int(limit or 10_000)])

    def facts(self, asked):
        names = re.findall(r"CURRENT_(\w+)\(\)", asked, re.IGNORECASE)
        columns = [(f"CURRENT_{name.upper()}()", TEXT) for name in names]
        return table(columns, [tuple(FACTS[name.lower()] for name in names)])

    def nothing(self):
        return table([("status", TEXT)], [("Statement executed successfully.",)])


STATEMENTS = [
    (rf"(?:LIST|LS)\s+{STRING}", Account.list_files),
    (rf"(?:REMOVE|RM)\s+{STRING}(?:\s+PATTERN\s*=\s*{STRING})?", Account.remove_files),
    (rf"PUT\s+{STRING}\s+{STRING}(.*)", Account.put),
    (rf"GET\s+{STRING}\s+{STRING}(.*)", Account.get),
    (rf"CREATE\s+(DATABASE|SCHEMA|STAGE)\s+IF\s+NOT\s+EXISTS\s+{NAMES}(.*)", Account.create),
    (r"GRANT\s+(.*)", Account.grant),
    (
        r"SHOW\s+(?:TERSE\s+)?(DATABASES|SCHEMAS|STAGES|WAREHOUSES|COMPUTE POOLS)"
        rf"(?:\s+IN\s+(?:DATABASE|SCHEMA)\s+{NAMES})?(?:\s+LIMIT\s+(\d+))?",
        Account.show,
    ),
    (r"SHOW\s+COMPUTE\s+POOLS\s+LIKE\s+\?", Account.one_pool),
    (rf"DESCRIBE\s+STAGE\s+(?:IDENTIFIER\(\s*\?\s*\)|{STRING}|{NAMES})", Account.describe),
    (r"SELECT\s+((?:CURRENT_\w+\(\)(?:\s+AS\s+\w+)?\s*,?\s*)+)", Account.facts),
    (r"SELECT\s+SYSTEM\$CANCEL_ALL_QUERIES\(.*\)", Account.nothing),
]


def identifier(written):
    return written[1:-1].replace('""', '"') if written.startswith('"') else written.upper()


def unescape(text):
    """Return what the inside of an SQL string means."""
    return re.sub(r"\\(.)|''", lambda found: found[1] or "'", text, flags=re.DOTALL)


def option(options, name, default):
    found = re.search(rf"\b{name}\s*=\s*'?([^\s']+)", options, re.IGNORECASE)
    return found[1].lower() if found else default


def table(columns, rows):
    """Return rows in wire format."""
    place = {"database": "", "schema": "", "table": "", "byteLength": None}
    data = {
        "parameters": [],
        "rowtype": [{"name": name, **place, **kind} for name, kind in columns],
        "rowset": [[None if value is None else str(value) for value in row] for row in rows],
        "total": len(rows),
        "returned": len(rows),
        "queryResultFormat": "json",
        "queryId": str(uuid.uuid4()),
        "statementTypeId": 4096,
        "finalDatabaseName": None,
        "finalSchemaName": None,
    }
    return {"data": data, "success": True}


def transfer(**data):
    """Return what tells the connector to carry files."""
    fixed = {"parallel": 4, "queryId": str(uuid.uuid4()), "statementTypeId": 28672}
    return {"data": fixed | data, "success": True}
