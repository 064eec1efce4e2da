#!/usr/bin/env bash
# environment.sh FOLDER PYTHON EXTRAS GROUPS: make FOLDER a virtual environment of PYTHON with this package (editable),
# those extras ("" or "[all]") and those dependency groups ("test lint"). Does nothing if the environment is up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 python=$2 extras=$3 groups=$4

wanted=$({ "$python" -VV; echo "$python $extras $groups $PWD"; cat pyproject.toml scripts/environment.sh
    grep __version__ src/napari_ct_pyramid/model/version.py; } | cksum)
stamp=$folder/.made-from
if [ -x "$folder/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

echo "Making $folder: $("$python" -V), napari-ct-pyramid$extras, $groups"
"$python" -m venv --clear "$folder"
# 25.1 is the first pip that knows dependency groups.
"$folder/bin/python" -m pip install -qq --disable-pip-version-check "pip>=25.1"
arguments=()
for group in $groups; do
    arguments+=(--group "$group")
done
# Most of the installed modules are never imported: no need to compile them.
"$folder/bin/python" -m pip install -qq --disable-pip-version-check --no-compile --editable ".$extras" "${arguments[@]}"
echo "$wanted" >"$stamp"
