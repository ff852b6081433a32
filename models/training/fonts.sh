#!/bin/sh
# Fetches the font faces the plate renderer is trained with, without root: Debian packages are unpacked, not installed,
# and the npm families are only downloaded. Running it again fetches what is missing and nothing else.
#
#   models/training/fonts.sh [CACHE]        CACHE: $EDGE_ANPR_FONTS, else ~/.cache/edge-anpr/fonts
set -eu

cache=${1:-${EDGE_ANPR_FONTS:-$HOME/.cache/edge-anpr/fonts}}
mkdir -p "$cache/debs" "$cache/debian" "$cache/npm"

# Each is under a free licence that puts no condition on pictures drawn with it (OFL, Apache, MIT, public domain, or GPL
# with the font exception); faces.py reads each package's copyright file and leaves out what says otherwise.
debian="fonts-roadgeek fonts-opendin fonts-osifont fonts-routed-gothic fonts-national-park fonts-liberation
fonts-dejavu-core fonts-dejavu-extra fonts-b612 fonts-play fonts-millimetre fonts-jura
fonts-dosis fonts-lato fonts-open-sans fonts-cabin fonts-clear-sans fonts-cantarell fonts-inconsolata
fonts-jetbrains-mono fonts-noto-mono fonts-crosextra-carlito fonts-karla fonts-manrope fonts-mononoki fonts-firacode
fonts-league-mono fonts-league-spartan fonts-roboto-unhinted fonts-ubuntu-title fonts-bebas-neue fonts-quicksand
fonts-hack"

npm="barlow barlow-condensed barlow-semi-condensed saira saira-condensed saira-semi-condensed saira-extra-condensed
share-tech share-tech-mono rajdhani overpass overpass-mono oswald sofia-sans sofia-sans-condensed
sofia-sans-semi-condensed sofia-sans-extra-condensed roboto roboto-condensed roboto-mono archivo-narrow
pt-sans-narrow fjalla-one teko khand pragati-narrow yanone-kaffeesatz economica cuprum league-gothic
asap-condensed fira-sans-condensed encode-sans-condensed encode-sans-semi-condensed ibm-plex-sans-condensed
ibm-plex-mono quantico chakra-petch titillium-web exo-2 blinker rubik advent-pro space-mono varela-round"

cd "$cache/debs"
for package in $debian; do
    [ -d "../debian/$package" ] && continue
    apt-cache show "$package" >/dev/null 2>&1 || { echo "not in this distribution: $package" >&2; continue; }
    apt-get -q download "$package" >/dev/null 2>&1 || { echo "cannot download $package" >&2; continue; }
    dpkg-deb -x "$package"_*.deb "../debian/$package.part" && mv "../debian/$package.part" "../debian/$package"
    rm -f "$package"_*.deb
done

cd "$cache/npm"
for family in $npm; do
    [ -d "$family" ] && continue
    tarball=$(npm pack --silent "@fontsource/$family" 2>/dev/null | tail -1) || true
    [ -n "$tarball" ] && [ -f "$tarball" ] || { echo "not on npm: @fontsource/$family" >&2; continue; }
    mkdir -p "$family.part"
    tar -xzf "$tarball" -C "$family.part" --strip-components=1
    # only the latin upright .woff files are used; the other scripts and slants would be most of the disk
    find "$family.part" -type f \( -name '*.woff2' -o -name '*.css' -o -name '*.scss' -o -name '*italic*' \) -delete
    rm -f "$tarball"
    mv "$family.part" "$family"
done
echo "fonts in $cache: $(find "$cache" -name '*.ttf' -o -name '*.otf' -o -name '*-latin-*.woff' | wc -l) files" >&2
