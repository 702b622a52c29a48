#!/bin/sh
# Installs the pinned requirements into a virtual environment, with the first Python that fits.
#   install.sh python [PYTHON]        prints the Python, and on stderr which version it is
#   install.sh run|dev VENV [PYTHON]  what runs; or what tests, too
# VENV/installed-* are written last. Without installed-run an environment is half made, and made
# anew; without installed-dev its packages that are half made are installed again.
set -eu

FITS='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'
VERSION='import sys; print("%d.%d" % sys.version_info[:2])'

find_python() { # [PYTHON]: one that has venv goes before one that lacks it
  candidates=${1:-"python3.11 python3.12 python3.13 python3.14 python3"}
  for module in ensurepip sys; do
    for each in $candidates; do
      if "$each" -c "$FITS" 2>/dev/null && "$each" -c "import $module" 2>/dev/null; then
        echo "$each"
        return
      fi
    done
  done
  echo "Python 3.11 to 3.14 is needed; found none as $candidates. Install one, or set PYTHON=..." >&2
  exit 1
}

create_environment() { # VENV [PYTHON]
  python=$(find_python "${2:-}")
  version=$("$python" -c "$VERSION")
  if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    echo "$python (Python $version) cannot create a virtual environment. Install its venv; on Debian and Ubuntu:" >&2
    echo "    sudo apt install python$version-venv" >&2
    exit 1
  fi
  echo "Using $(command -v "$python"), Python $version. Creating $1" >&2
  rm -rf "$1"
  "$python" -m venv "$1"
}

show_progress() { # pip's lines as one that is written over; in a log, as one at the end
  count=0 kilobytes=0 name=
  while read -r line; do
    case $line in
    *.metadata*) ;;
    Downloading*B\) | "Using cached"*B\))
      name=${line% (*} name=${name##* } name=${name%%-*} count=$((count + 1))
      size=${line##*\(} number=${size%% *}
      case $size in
      *MB\)) kilobytes=$((kilobytes + ${number%.*} * 1000 + ${number#*.} * 100)) ;;
      *kB\)) kilobytes=$((kilobytes + ${number%.*})) ;;
      esac
      [ -z "$1" ] || printf '\r  %3d packages, %3d MB: %-40.40s' $count $((kilobytes / 1000)) "$name"
      ;;
    "Installing collected"*)
      printf "${1:+\\r}  %3d packages, %3d MB. Unpacking%-40s\n" $count $((kilobytes / 1000)) ""
      ;;
    esac
  done
}

install() { # VENV NAME REQUIREMENTS...: pip tells its errors on stderr
  venv=$1 name=$2
  shift 2
  if [ -t 1 ]; then tty=1; else tty=; fi
  {
    "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off --require-hashes "$@" &&
      { [ "$name" != run ] || install_project "$venv"; } &&
      touch "$venv/installed-$name"
  } | show_progress "$tty"
  [ -f "$venv/installed-$name" ]
}

install_project() { # VENV
  "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
}

forget_half_made_packages() { # VENV: pip writes INSTALLER when all files of a package are there
  for info in "$1"/lib/python*/site-packages/*.dist-info; do
    [ -f "$info/INSTALLER" ] || rm -rf "$info"
  done
}

case $1 in
python)
  python=$(find_python "${2:-}")
  echo "Using $(command -v "$python"), Python $("$python" -c "$VERSION")" >&2
  echo "$python"
  ;;
run)
  [ -f "$2/installed-run" ] && "$2/bin/python" -c '' 2>/dev/null || create_environment "$2" "${3:-}"
  rm -f "$2/installed-run" "$2/installed-dev"
  echo "Installing what runs into $2 (once)"
  install "$2" run -r requirements/run.txt -r requirements/build.txt
  ;;
dev)
  rm -f "$2/installed-dev"
  forget_half_made_packages "$2"
  echo "Installing what tests into $2 (once)"
  install "$2" dev -r requirements/dev.txt
  ;;
esac
