<?php
// Apps as PHP has them, each of which takes every path for `admin` or for `open`; `READING` says how. PHP's own server asks this
// file for every path, as its router or because no other file is there.

$asked = $_SERVER['REQUEST_URI'];
$path = match (getenv('READING')) {
    'parse_url' => parse_url($asked, PHP_URL_PATH),
    // With `+` for a blank, as forms have it.
    'urldecode' => trim(urldecode((string) parse_url($asked, PHP_URL_PATH))),
    'strtok' => rawurldecode(strtok($asked, '?')),
    // What stands behind the script's own name.
    'path_info' => $_SERVER['PATH_INFO'] ?? '',
};
$said = preg_match('#^/admin(/.*)?$#i', (string) $path) ? 'admin' : 'open';
header('Content-Length: ' . strlen($said));
echo $said;
